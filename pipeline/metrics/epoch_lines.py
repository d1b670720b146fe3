"""Figures of a training in a log: one line per epoch, where a terminal has fastai's progress bars.

A bar is redrawn hundreds of times; in a file every one of its states would stay.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from fastai.basics import noop
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastai.learner import Learner

WIDTH: Final = 10  # of a column


class EpochLines(Callback):  # type: ignore[misc]
    """Prints the names of the recorder's figures, then one line of them after each epoch."""

    order = ProgressCallback.order

    def __init__(self, silent: bool) -> None:
        self.silent = silent

    def before_fit(self) -> None:
        """Take the recorder's lines, unless nobody wants them or another process prints them."""
        self.before = self.learn.logger
        if self.before is not noop:
            self.learn.logger = noop if self.silent else self.write
            self.learn.logger(self.recorder.metric_names)

    def after_fit(self) -> None:
        """Leave the recorder as it was."""
        self.learn.logger = self.before

    def write(self, values: Iterable[float | str]) -> None:
        """One line: numbers, or their names."""
        cells = (f"{v:.6f}" if isinstance(v, float) else str(v) for v in values)
        print(" ".join(f"{cell:<{WIDTH}}" for cell in cells).rstrip(), flush=True)


def for_a_log(learner: Learner, silent: bool = False) -> Learner:
    """The learner, with lines instead of bars unless it prints to a terminal.

    `silent`: another process prints the lines.
    """
    if not sys.stdout.isatty():
        learner.remove_cb(ProgressCallback)
        learner.add_cb(EpochLines(silent))
    return learner
