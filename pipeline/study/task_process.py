"""One task in a fresh process, for an engine whose workers also run other threads.

A training sets and uses the random state of its whole process. In a Dask worker other threads run
too, and sometimes the same seed gave other weights there. So the worker only starts a process and
waits.

In: a function, importable by its name, and its task. Out: what it returned.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from pipeline.terminal.end_with_parent import end_with_parent

Task = TypeVar("Task")
Result = TypeVar("Result")

ASKED: Final = "asked.pickle"
ANSWER: Final = "answer.pickle"


class ProcessEnded(Exception):
    """The process ended without a result; the message is the end of what it printed."""


def run_in_process(function: Callable[[Task], Result], task: Task) -> Result:
    """Call `function(task)` in a fresh process.

    Raises:
        ProcessEnded: the process was killed, or `function` raised.
    """
    with tempfile.TemporaryDirectory() as name:  # readable by this user alone
        folder = Path(name)
        (folder / ASKED).write_bytes(pickle.dumps((function, task)))
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.study.task_process", name],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
        answer = folder / ANSWER
        if done.returncode or not answer.exists():
            raise ProcessEnded(done.stderr.strip()[-500:])
        result: Result = pickle.loads(answer.read_bytes())  # noqa: S301  ours, in our folder
        return result


def _answer(folder: Path) -> None:
    # A Dask worker ignores Ctrl-C, and its child processes inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_with_parent()
    function, task = pickle.loads((folder / ASKED).read_bytes())  # noqa: S301  as above
    (folder / ANSWER).write_bytes(pickle.dumps(function(task)))


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
