"""Foreign environments as runners of parity: which one runs which published file.

In: a target, ``arm64`` or ``oldest``. Out: the runner of a format, if there is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from export.runtimes.emulator import is_emulated
from export.runtimes.environments import ENVIRONMENTS, Environment, Target

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from export.deploy.outputs import Answers


@dataclass
class ForeignRunner:
    """An environment with the `load` and `run` of a format; the file is loaded by each `run`.

    Attributes:
        environment: where it runs.
        format: of the file.
        RUN_BY: how a report names it; exact once something has run.
    """

    environment: Environment
    format: str
    RUN_BY: str = field(default="")
    PART_BYTES: ClassVar[int] = 2**28  # of images: each run starts a process

    def load(self, path: Path, threads: int) -> Path:
        """Only pass the path on: the environment loads the file."""
        return path

    def run(self, session: Path, images: NDArray[np.uint8]) -> Answers:
        """Outputs for uint8 (N, H, W, 3). Raises CannotRunHere, Unreadable, RuntimeError."""
        from export.runtimes.execute import run_foreign

        done = run_foreign(self.environment, self.format, session, images)
        self.RUN_BY = f"run by {done.runtime}"
        return done.answers


def foreign_runner(target: Target, format_name: str) -> ForeignRunner | None:
    """The runner of a format's files in the environments of `target`; None if there is none."""
    for environment in ENVIRONMENTS.values():
        if environment.target == target and format_name in environment.formats:
            return ForeignRunner(environment, format_name)
    return None


def runs_emulated(target: Target) -> bool:
    """Whether the runtimes of `target` are emulated here, where an image takes seconds."""
    return any(is_emulated(e) for e in ENVIRONMENTS.values() if e.target == target)
