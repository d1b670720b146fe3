"""What a person sees while trials run: which ones, how far they are, how long they need.

In: trials, whose progress files say how many batches they have learned from. Out: bars in a
terminal; in a log, a line at the beginning and the end of each trial.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pipeline.terminal.console import open_console

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pipeline.study.trial import Trial

LOOK_EVERY_S: Final = 0.5


class Board:
    """Bars of the running trials and one for all; `look` updates them."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self.console = open_console()
        self.console.file = sys.stdout  # a trial in this process sends sys.stdout elsewhere
        self.trials = list(trials)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} batches"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self.all = self.progress.add_task("all", total=sum(trial.batches for trial in trials))
        self.bars: dict[str, TaskID] = {}
        self.ended: set[str] = set()

    def look(self) -> None:
        """Read the progress files."""
        done = 0
        for number, trial in enumerate(self.trials, start=1):
            if trial.name in self.ended:
                done += trial.batches
                continue
            try:
                batches = int(trial.progress.read_text(encoding="utf-8"))
            except (OSError, ValueError):  # not begun, or ended a moment ago
                continue
            if trial.name not in self.bars:
                self.bars[trial.name] = self.progress.add_task(trial.name, total=trial.batches)
                if not self.console.is_terminal:
                    self.say(f"trial {number} of {len(self.trials)}: {trial.name} begins")
            self.progress.update(self.bars[trial.name], completed=batches)
            done += batches
        self.progress.update(self.all, completed=done)

    def end(self, trial: Trial, told: str) -> None:
        """A trial has ended; `told` is its result."""
        self.ended.add(trial.name)
        if trial.name in self.bars:
            self.progress.remove_task(self.bars[trial.name])
        self.say(f"{trial.name}: {told}")
        self.look()

    def say(self, line: str) -> None:
        """One line above the bars."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def watched(trials: Sequence[Trial]) -> Generator[Board]:
    """A board that updates itself until the block ends."""
    board, over = Board(trials), Event()

    def look_on() -> None:
        while not over.wait(LOOK_EVERY_S):
            board.look()

    looking = Thread(target=look_on, daemon=True)
    with board.progress:
        looking.start()
        try:
            yield board
        finally:
            over.set()
            looking.join()
