"""What a format is: one module with these facts and verbs. The module itself is the implementation.

All of a format's decisions (precisions, opset, target OS, tolerances) live in its own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from export.formats.description import Description as Description
from export.formats.description import Port as Port
from export.formats.description import Tolerance as Tolerance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.layers import Layer, LayerTrace
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec

# Of evidence, by what is rounded; measured on 150 X-rays and the hard images as 1.3e-2 and 1e-1.
# Classes or places taken for each other are 1 and more.
HALF_EVIDENCE: Final = 3e-2  # weights or arithmetic in fp16
INTEGER_EVIDENCE: Final = 0.25  # one code of a late layer, rounded the other way, moves one place


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


class Format(Runner, Protocol):
    """The facts and verbs of a format module.

    Facts:
        NAME: identifier, as in the manifest.
        SUFFIX: of the artifact's file or folder name.
        PLATFORMS: which asset folders take it: ``android``, ``ios``, ``web``.
        TOLERANCES: precision -> tolerance; its keys are the precisions that there are.
        TWINS: precision -> twin of the checkpoint it is made from (`export.deploy.variants`).
        REFUSED: precision that the format cannot take -> why.
        REQUIRES: modules that converting needs; asked with `find_spec`, nothing is imported.
        RUNTIME: module that runs the artifact here.
        ALSO: other ways to run it, whose answers are held against PyTorch as well.
    """

    @property
    def NAME(self) -> str: ...  # noqa: N802 - facts are constants of a module
    @property
    def SUFFIX(self) -> str: ...  # noqa: N802
    @property
    def PLATFORMS(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def TOLERANCES(self) -> Mapping[str, Tolerance]: ...  # noqa: N802
    @property
    def TWINS(self) -> Mapping[str, str]: ...  # noqa: N802
    @property
    def REFUSED(self) -> Mapping[str, str]: ...  # noqa: N802
    @property
    def REQUIRES(self) -> tuple[str, ...]: ...  # noqa: N802
    @property
    def RUNTIME(self) -> str: ...  # noqa: N802
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
