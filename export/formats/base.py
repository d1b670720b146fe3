"""The functions of a format, and their records. `export.formats.facts` has all else.

The module ``format.py`` in a format's folder is the implementation of `Verbs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from export.formats.description import Description as Description
from export.formats.description import Port as Port

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.layers import Layer, LayerTrace
    from export.deploy.outputs import Answers
    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program


class Runner(Protocol):
    """One way to run an artifact: an app's runtime, or a substitute for it.

    Facts:
        RUN_BY: the phrase for it in a report.
    """

    @property
    def RUN_BY(self) -> str: ...  # noqa: N802 - facts are constants of a module

    def load(self, path: Path, threads: int) -> Any:
        """Make a session. Raises CannotRunHere or Unreadable."""

    def run(self, session: Any, images: NDArray[np.uint8]) -> Answers:
        """Outputs for uint8 (N, H, W, 3), image by image as an app does."""


class Verbs(Runner, Protocol):
    """The functions of a format, in a module that is imported at first use.

    Facts:
        ALSO: other ways to run it, whose outputs are compared with PyTorch's as well.
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
        """Read back what the file declares. Raises Unreadable."""

    def stored_layers(self, path: Path) -> list[Layer]:
        """The weighted layers as the file stores them. Raises CannotRunHere or Unreadable."""

    def trace_layers(self, path: Path, image: NDArray[np.uint8]) -> list[LayerTrace] | None:
        """Input and output of each weighted layer of the file for an image, uint8 (H, W, 3).

        In call order; None where the format hides it. Raises CannotRunHere or Unreadable.
        """

    def why_not_convert(self) -> str:
        """Why this machine cannot convert despite the required modules; empty if it can."""

    def why_not_run(self) -> str:
        """Why this machine cannot run what it converts, as far as is known without a try."""


@runtime_checkable
class Lifter(Protocol):
    """Verbs that can also read a file as a program."""

    def lifted(self, path: Path) -> Program:
        """What the file computes of the pixels, float32 (1, 3, H, W) 0..255, with its own weights.

        Nothing may stand before that but a cast of the image and its turn into planes. Raises
        CannotRunHere: an operation is not known here; Unreadable: the file contradicts itself.
        """


@runtime_checkable
class Rewriter(Protocol):
    """A lifter of a format whose writer changes a network on purpose."""

    def as_written(self, program: Program, *, half: bool) -> Program:
        """What the writer makes of a program, which computes the same, done again.

        `half`: for a file whose arithmetic is in fp16.
        """


@runtime_checkable
class WholeReader(Protocol):
    """A lifter of a format whose files may hold more than a program."""

    def left_over(self, path: Path) -> list[str]:
        """What is in a file and not of its program, or not as the runtime wants it; with its place.

        Raises CannotRunHere or Unreadable.
        """


def verbs_of(name: str) -> Verbs:
    """The verbs of a format in the register; the module behind them is imported now."""
    verbs: Verbs = import_module(f"export.formats.{name}").load_verbs()
    return verbs
