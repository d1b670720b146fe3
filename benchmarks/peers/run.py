"""``python -m benchmarks peers``: our artifacts and peers in one run, outputs compared first.

In: published assets, the checkpoint they were made from, names of peers. Out: `Results`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.base import Peer
from benchmarks.peers.conversion import PeerConversion, convert
from benchmarks.peers.document import PeerRow, peers_results
from benchmarks.peers.environment import peer_python
from benchmarks.peers.register import PEERS
from benchmarks.peers.sources import PeerSources, write_sources
from benchmarks.results import Results
from benchmarks.targets import published_targets
from export.latency.measure import measure
from export.latency.measurement import Measurement, Target
from export.manifest.manifest import read_manifest
from export.publish.assets import FOLDERS
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput
from pipeline.resize.rule import Size

IDENTITY_DIGITS = 12  # of a checkpoint's hash, in a folder's name


@dataclass(frozen=True)
class PeersRequest:
    """What to time: `only` names peers of the register; `build` keeps sources and conversions."""

    assets: Path
    checkpoint: Path
    only: Sequence[str]
    threads: Sequence[int]
    rounds: int
    round_s: float
    build: Path


def measure_peers(request: PeersRequest, progress: Callable[[str], None]) -> Results[PeerRow]:
    """Convert, compare, time.

    Raises:
        BadInput: an unknown peer, no assets or checkpoint, or assets of another checkpoint.
    """
    peers = {peer.NAME: peer for peer in chosen_peers(request.only)}
    ours = published_targets(request.assets, request.checkpoint)
    checkpoint = open_checkpoint(request.checkpoint)
    identity = checkpoint.sha256
    _refuse_other_weights(request, identity)
    build = request.build / identity[:IDENTITY_DIGITS]
    side = checkpoint.spec.side
    progress("writing what the conversions start from")
    sources = PeerSources(build / "sources", request.checkpoint, side)
    expected = write_sources(sources)
    theirs: list[tuple[Target, PeerConversion]] = []
    for peer in peers.values():
        progress(f"converting for {peer.TITLE}")
        conversion = convert(peer, sources, build / peer.NAME)
        theirs += [(target, conversion) for target in peer_targets(peer, conversion.folder, side)]
    ready = [*ours, *(target for target, conversion in theirs if conversion.status == "done")]
    measurements = measure(
        ready, request.threads, request.rounds, request.round_s, progress, expected
    )
    for target, conversion in theirs:
        if conversion.status != "done":
            measurements += [
                Measurement(target, threads, conversion.status, conversion.reason)
                for threads in request.threads
            ]
    order = {target.name: i for i, target in enumerate([*ours, *(t for t, _ in theirs)])}
    measurements.sort(key=lambda m: (request.threads.index(m.threads), order[m.target.name]))
    return peers_results(measurements, peers, request.rounds, request.round_s)


def chosen_peers(only: Sequence[str]) -> list[Peer]:
    """The peers of these names; all peers for no names. Raises BadInput."""
    unknown = [name for name in only if name not in PEERS]
    if unknown:
        raise BadInput(f"no peer {', '.join(unknown)}; there are: {', '.join(PEERS)}")
    return [peer for name, peer in PEERS.items() if not only or name in only]


def peer_targets(peer: Peer, folder: Path, side: Size) -> list[Target]:
    """One target per row of the peer."""
    command, variables = peer_python(peer)
    return [
        Target(
            peer.NAME,
            precision,
            folder,
            side,
            title=f"{peer.TITLE} {precision}",
            worker=(*command, "-m", "benchmarks.peers.worker", peer.__name__),
            variables=variables,
            limit=limit,
        )
        for precision, limit in peer.LIMITS.items()
    ]


def _refuse_other_weights(request: PeersRequest, identity: str) -> None:
    """Peers are made from the checkpoint, so the assets must be as well."""
    for name in FOLDERS.values():
        found = read_manifest(request.assets / name).model.checkpoint_sha256
        if found != identity:
            raise BadInput(
                f"{request.assets / name} was made from checkpoint {found[:IDENTITY_DIGITS]}..., "
                f"{request.checkpoint} is {identity[:IDENTITY_DIGITS]}...; give the one with "
                "--checkpoint, or export it again"
            )
