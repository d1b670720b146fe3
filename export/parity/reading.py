"""An artifact read back from disk: each part only once, however often it is compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from export.deploy.outputs import answers_in_parts
from export.formats.base import Lifter, WholeReader

if TYPE_CHECKING:
    from pathlib import Path

    from export.deploy.layers import Layer
    from export.deploy.outputs import Answers
    from export.formats.base import Description, Runner, Verbs
    from export.images.parity_images import Pixels
    from pipeline.program.program import Program


@dataclass
class Reading:
    """What a file declares, contains and outputs, as long as the file does not change.

    Attributes:
        verbs: of its format.
        path: the artifact on disk.
    """

    verbs: Verbs
    path: Path
    _sessions: dict[str, object] = field(default_factory=dict, repr=False)
    _answered: list[tuple[str, Pixels, Answers]] = field(default_factory=list, repr=False)

    @cached_property
    def description(self) -> Description:
        """What the file declares. Raises what the format's reader raises."""
        return self.verbs.describe(self.path)

    @cached_property
    def layers(self) -> list[Layer]:
        """The weighted layers as the file holds them. Raises what the format's reader raises."""
        return self.verbs.stored_layers(self.path)

    @property
    def has_program(self) -> bool:
        """Whether its format has a lifter."""
        return isinstance(self.verbs, Lifter)

    @cached_property
    def program(self) -> Program:
        """What the file computes. Raises what the format's lifter raises."""
        assert isinstance(self.verbs, Lifter)
        return self.verbs.lifted(self.path)

    @cached_property
    def left_over(self) -> list[str]:
        """What is in the file and not of its program. Raises what the format's reader raises."""
        return self.verbs.left_over(self.path) if isinstance(self.verbs, WholeReader) else []

    def session(self, runner: Runner) -> object:
        """The file loaded by one of the format's runners. Raises CannotRunHere, Unreadable."""
        if runner.RUN_BY not in self._sessions:
            self._sessions[runner.RUN_BY] = runner.load(self.path, threads=1)
        return self._sessions[runner.RUN_BY]

    def answers(self, runner: Runner, images: Pixels) -> Answers:
        """The file's outputs for uint8 (N, H, W, 3), the same array as before or another."""
        for run_by, before, answers in self._answered:
            if run_by == runner.RUN_BY and before is images:
                return answers
        session = self.session(runner)
        # A runner in a process of its own takes more at a time.
        part_bytes: int | None = getattr(runner, "PART_BYTES", None)
        found = answers_in_parts(lambda part: runner.run(session, part), images, part_bytes)
        self._answered.append((runner.RUN_BY, images, found))
        return found
