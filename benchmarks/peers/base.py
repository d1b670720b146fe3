"""What a peer is: one module with these facts and verbs. The module itself is the implementation.

It is imported in this project's environment, for its facts, and in the peer's own, which may have
only the standard library, numpy and the peer's packages: so its verbs import what they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from benchmarks.peers.sources import PeerSources
    from export.latency.protocol import Session

Group = Literal["ours", "pytorch", "peer", "recipe"]


class Peer(Protocol):
    """The facts and verbs of a peer module.

    Facts:
        NAME: identifier, as in ``--only``.
        TITLE: as in tables, before the precision.
        GROUP: ``peer``, or ``recipe`` for what a tutorial does with the tools that we use.
        PACKAGES: pinned requirements, installed without their dependencies: the list is all that
            converting and running import, found by trying. Empty: needs no environment.
        BESIDE_TORCH: whether this project's own packages can be imported there as well, which
            saves each environment its own torch; those of `PACKAGES` come first.
        IMPORTS: modules that must be importable for it to count as installed.
        LIMITS: precision -> largest |Δp| from PyTorch that is still timed; its keys are the rows.
        TIMED: what a timed call takes, does and returns.
        THREADS_BY: what sets the thread count.
    """

    @property
    def __name__(self) -> str: ...
    @property
    def NAME(self) -> str: ...  # noqa: N802 - facts are constants of a module
    @property
    def TITLE(self) -> str: ...  # noqa: N802
    @property
    def GROUP(self) -> Group: ...  # noqa: N802
    @property
    def PACKAGES(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def BESIDE_TORCH(self) -> bool: ...  # noqa: N802
    @property
    def IMPORTS(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def LIMITS(self) -> Mapping[str, float]: ...  # noqa: N802
    @property
    def TIMED(self) -> str: ...  # noqa: N802
    @property
    def THREADS_BY(self) -> str: ...  # noqa: N802

    def convert(self, sources: PeerSources, folder: Path) -> None:
        """Write what `load` needs, and nothing else, into `folder`. May raise anything."""

    def load(self, folder: Path, precision: str, threads: int) -> Session:
        """Load it. Raises CannotRunHere if a row does not apply to this machine."""
