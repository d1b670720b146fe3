from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.peers import conversion as module
from benchmarks.peers.conversion import convert
from benchmarks.peers.runtimes import ncnn_peer
from benchmarks.peers.sources import PeerSources
from tests.benchmarks import planted_peer


@pytest.fixture
def sources(tmp_path: Path, checkpoint: Path) -> PeerSources:
    folder = tmp_path / "sources"
    folder.mkdir()
    return PeerSources(folder, checkpoint, 64)


def test_a_conversion_is_kept_until_the_weights_or_the_packages_change(
    sources: PeerSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "planted"
    for _ in range(2):
        conversion = convert(planted_peer, sources, target)
        assert conversion.status == "done"
        assert [p.name for p in conversion.folder.iterdir()] == ["model.bin"]
    assert conversions(sources) == 1
    monkeypatch.setattr(planted_peer, "BESIDE_TORCH", False)  # another environment
    monkeypatch.setattr(module, "_convert", lambda peer, sources, folder: None)
    assert convert(planted_peer, sources, target).status == "done"
    assert list((target / "model").iterdir()) == []  # made again


def test_other_weights_are_converted_again(sources: PeerSources, tmp_path: Path) -> None:
    convert(planted_peer, sources, tmp_path / "planted")
    other = tmp_path / "other"
    shutil.copytree(sources.checkpoint, other)
    text = (other / "checkpoint.json").read_text().replace("1.2.3", "1.2.4")
    (other / "checkpoint.json").write_text(text)
    convert(planted_peer, PeerSources(sources.folder, other, 64), tmp_path / "planted")
    assert conversions(sources) == 2


def test_a_conversion_that_fails_says_its_last_line_and_leaves_nothing(
    sources: PeerSources, tmp_path: Path
) -> None:
    doomed = tmp_path / "doomed"
    shutil.copytree(sources.checkpoint, doomed)
    found = convert(
        planted_peer, PeerSources(sources.folder, doomed, 64), tmp_path / "build" / "planted"
    )
    assert found.status == "failed"
    assert found.reason == "conversion: RuntimeError: op aten::doom is not supported"
    assert list((tmp_path / "build").iterdir()) == []


def test_a_peer_that_is_not_installed_is_not_run_with_the_way_out(
    sources: PeerSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = convert(ncnn_peer, sources, tmp_path / "ncnn")
    assert (found.status, found.reason) == ("not_run", "ncnn is not installed; make peers")


def conversions(sources: PeerSources) -> int:
    return len((sources.folder / "conversions.log").read_text().splitlines())
