from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.peers import run
from benchmarks.peers.document import PeerRow, is_ours, peers_results, print_peers_table, row_title
from benchmarks.peers.runtimes import ncnn_peer
from benchmarks.plot import plot_latency
from benchmarks.results import Results, results_json
from export.latency.answer_check import Expected
from export.latency.measurement import Measurement, Target
from export.manifest.manifest import Manifest
from export.publish.build_manifest import build_manifest
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput
from tests.benchmarks import planted_peer
from tests.benchmarks.conftest import SIDE, planted_expected
from tests.conftest import make_spec

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Results[PeerRow]:
    """A run with a peer whose second row gives wrong outputs, and one that is not installed."""
    folder = tmp_path_factory.mktemp("run")
    manifest = manifest_of(open_checkpoint(checkpoint).sha256)

    def sources(sources: run.PeerSources) -> Expected:
        sources.folder.mkdir(parents=True)
        return planted_expected(folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(run, "PEERS", {"planted": planted_peer, "ncnn": ncnn_peer})
        patch.setattr(run, "read_manifest", lambda folder: manifest)
        patch.setattr(run, "published_targets", lambda assets, checkpoint: ours(folder))
        patch.setattr(run, "write_sources", sources)
        return run.measure_peers(request(folder, checkpoint), lambda text: None)


def manifest_of(checkpoint_sha256: str) -> Manifest:
    return build_manifest(make_spec(), checkpoint_sha256, ())


def ours(folder: Path) -> list[Target]:
    """Something that is always available and correct: the planted peer again."""
    (folder / "model").mkdir()
    (target, *_) = run.peer_targets(planted_peer, folder / "model", SIDE)
    fields = {"worker": target.worker, "variables": target.variables, "limit": 1e-3}
    return [Target("onnx", "fp32", folder / "model", SIDE, **fields)]


def request(folder: Path, checkpoint: Path) -> run.PeersRequest:
    return run.PeersRequest(folder, checkpoint, (), (2, 1), 2, 0.02, folder / "build")


def test_every_row_is_there_at_every_thread_count_done_failed_or_not_run(
    results: Results[PeerRow],
) -> None:
    rows = [(row.name, row.threads, row.status) for row in results.rows]
    assert rows == [
        (name, threads, status)
        for threads in (2, 1)
        for name, status in (
            ("onnx fp32", "done"),
            ("Planted fp32", "done"),
            ("Planted swapped", "failed"),
            ("ncnn fp32", "not_run"),
        )
    ]
    reasons = [row.reason for row in results.rows[:4]]
    assert "max |Δp| 5.0e-01" in reasons[2]
    assert reasons[3] == "ncnn is not installed; make peers"


def test_a_row_says_what_was_timed_how_its_threads_were_fixed_and_how_far_it_is_from_pytorch(
    results: Results[PeerRow],
) -> None:
    mine, theirs, wrong, missing = results.rows[:4]
    assert [row.group for row in results.rows[:4]] == ["ours", "peer", "peer", "peer"]
    assert (theirs.timed, theirs.threads_by) == (planted_peer.TIMED, planted_peer.THREADS_BY)
    assert "uint8 NHWC" in mine.timed
    assert [row.max_abs_diff for row in (theirs, wrong, missing)] == [0.0, 0.5, None]
    assert theirs.limit == 1e-3


def test_ratios_are_to_the_fastest_fp32_row_and_to_our_onnx(results: Results[PeerRow]) -> None:
    for threads in (1, 2):
        done = [r for r in results.rows if r.threads == threads and r.status == "done"]
        (best,) = [row for row in done if row.best_fp32]
        assert best.median_ms == min(row.median_ms for row in done)
        assert best.of_best.median == 1.0
        assert next(row for row in done if row.name == "onnx fp32").ratio.median == 1.0
        assert all(row.of_best.low <= row.of_best.median <= row.of_best.high for row in done)
    assert all(row.of_best is None for row in results.rows if row.status != "done")


def test_the_document_is_json_with_the_rounds(results: Results[PeerRow]) -> None:
    document = results_json(results)
    assert len(document["rows"][0]["round_medians_ms"]) == 2
    assert document["rows"][3]["round_medians_ms"] == []
    released = json.loads((ROOT / "docs" / "results" / "peers.json").read_text(encoding="utf-8"))
    assert document.keys() == released.keys()
    assert {frozenset(row) for row in document["rows"]} == {
        frozenset(row) for row in released["rows"]
    }


def test_the_versions_of_a_peer_are_stated_if_it_ran(
    results: Results[PeerRow], tmp_path: Path
) -> None:
    assert "ncnn" not in results.tools  # it is not installed
    target, *_ = run.peer_targets(ncnn_peer, tmp_path, SIDE)
    timed = Measurement(target, 1, rounds_ms=((1.0,),))
    tools = peers_results([timed], {"ncnn": ncnn_peer}, 1, 0.1).tools
    assert tools["ncnn"] == "1.0.20261020"
    assert "torch" in tools


def test_the_table_and_the_picture_show_it_all(results: Results[PeerRow]) -> None:
    console = Console(file=io.StringIO(), width=100)
    print_peers_table(console, results)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "…" not in text
    assert "Planted swapped, 1 thr: failed: max |Δp| 5.0e-01" in text
    assert "ncnn fp32, 2 thr: not run: ncnn is not installed; make peers" in text
    assert f"timed in Planted fp32: {planted_peer.TIMED}" in text
    assert plot_latency(results, row_title, is_ours).startswith(b"\x89PNG")


def test_assets_of_another_checkpoint_are_refused(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = manifest_of("0" * 64)
    monkeypatch.setattr(run, "read_manifest", lambda folder: other)
    monkeypatch.setattr(run, "published_targets", lambda assets, checkpoint: [])
    with pytest.raises(BadInput, match="made from checkpoint 000000000000"):
        run.measure_peers(request(tmp_path, checkpoint), lambda text: None)
