"""What a format is: one module with these facts and verbs. The module itself is the implementation.

All of a format's decisions (precisions, opset, target OS, tolerances) live in its own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

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


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from PyTorch.

    Attributes:
        max_abs_diff: largest allowed difference of any probability on any image.
        max_flip_rate: largest allowed share of images whose decided label differs.
        reason: why these numbers.
        max_evidence_diff: largest allowed difference of evidence at any place, as a share of the
            largest evidence of the image (`export.deploy.outputs.evidence_diff`). A place has no
            others to average with: rounding does many times more there than to probabilities.
    """

    max_abs_diff: float
    max_flip_rate: float
    reason: str
    max_evidence_diff: float = 1e-4


@dataclass(frozen=True)
class Port:
    """One input or output as the file declares it; `shape` is () where the format hides it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """What a file says of itself, read back from the file and not from what was asked for.

    Attributes:
        inputs, outputs: in file order.
        metadata: the key-value pairs of `model_metadata`, as found in the file.
        labels: class names where the format has a place of its own for them, else from metadata.
        requires: the least runtime or OS that loads it, and the versions it is written in.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str]
    labels: tuple[str, ...]
    requires: Mapping[str, str | int]


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
