"""The peers that are installed here, for real; the others are skipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers.conversion import convert
from benchmarks.peers.environment import is_installed
from benchmarks.peers.register import PEERS
from benchmarks.peers.run import peer_targets
from benchmarks.peers.sources import PeerSources, write_sources
from export.latency.answer_check import Expected
from export.latency.measure import measure

pytestmark = pytest.mark.slow("runs the peers")
SIDE = 64


@pytest.fixture(scope="module")
def written(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path
) -> tuple[PeerSources, Expected]:
    sources = PeerSources(tmp_path_factory.mktemp("peers") / "sources", checkpoint, SIDE)
    return sources, write_sources(sources)


@pytest.mark.ci("runs the peers")
@pytest.mark.parametrize("name", PEERS)
def test_an_installed_peer_gives_pytorchs_outputs(
    name: str, written: tuple[PeerSources, Expected], tmp_path: Path
) -> None:
    peer = PEERS[name]
    if not is_installed(peer):
        pytest.skip(f"{peer.TITLE} is not installed; make peers")
    sources, expected = written
    conversion = convert(peer, sources, tmp_path / name)
    assert (conversion.status, conversion.reason) == ("done", "")
    targets = peer_targets(peer, conversion.folder, SIDE)
    full, *others = measure(targets, (1,), rounds=1, round_s=0.01, expected=expected)
    assert (full.status, full.reason) == ("done", "")
    assert full.max_abs_diff is not None
    assert full.max_abs_diff < 1e-4
    assert all(m.status in ("done", "not_run") for m in others)
