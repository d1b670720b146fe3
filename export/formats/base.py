"""What a format does, and the records that it gives and takes. `export.formats.facts` has the rest.

The module ``format.py`` in a format's folder is the implementation of `Verbs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from export.formats.description import Description as Description
from export.formats.description import Port as Port

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.layers import Layer, LayerTrace
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec


class Runner(Protocol):
    """One way to run an artifact: an app's runtime, or something that stands in for it.

    Facts:
        RUN_BY: how a report says it.
    """

    @property
    def RUN_BY(self) -> str: ...  # noqa: N802 - facts are constants of a module

    def load(self, path: Path, threads: int) -> Any:
        """Make a session. Raises CannotRunHere or Unreadable."""

    def run(self, session: Any, images: NDArray[np.uint8]) -> Answers:
        """Answers to uint8 (N, H, W, 3), image by image as an app does."""


class Verbs(Runner, Protocol):
    """What a format does. A module has these as functions; it is imported at first use.

    Facts:
        ALSO: other ways to run it, whose answers are compared with PyTorch's as well.
    """

    @property
    def ALSO(self) -> tuple[Runner, ...]: ...  # noqa: N802

    def convert(
        self,
        graph: DeployGraph,
        spec: ModelSpec,
        metadata: Mapping[str, str],
        precision: str,
        path: Path,
    ) -> None:
        """Write the artifact to `path`. Raises ConversionFailed, or what the converter raises."""

    def describe(self, path: Path) -> Description:
        """Read back what the file says of itself. Raises Unreadable."""

    def stored_layers(self, path: Path) -> list[Layer]:
        """The weighted layers as the file holds them. Raises Unreadable."""

    def trace_layers(self, path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
        """What each weighted layer of the file takes and gives for an image, uint8 (H, W, 3).

        In call order; None where the format hides it. Raises CannotRunHere or Unreadable.
        """

    def why_not_convert(self) -> str:
        """Why this machine cannot convert, though the required modules are here; empty: it can."""

    def why_not_run(self) -> str:
        """Why this machine cannot run what it converts, as far as one knows without trying."""


def verbs_of(name: str) -> Verbs:
    """The verbs of a format in the register; the module behind them is imported now."""
    verbs: Verbs = import_module(f"export.formats.{name}").load_verbs()
    return verbs
