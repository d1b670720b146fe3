"""A child process that ends when its parent is gone: nobody waits for its result any more."""

from __future__ import annotations

import multiprocessing
import os
import signal
from threading import Thread
from time import sleep
from typing import Final

LOOK_EVERY_S: Final = 0.5
PATIENCE_S: Final = 3.0  # for what is being written to be cleared away


def end_with_parent() -> None:
    """To be called in a child, once: it will end as by Ctrl-C, or else at once."""
    Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(above: int) -> None:
    """`above`: the process above this one; a fork server may stand between it and the parent."""
    if parent := multiprocessing.parent_process():
        parent.join()
    else:
        while os.getppid() == above:
            sleep(LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGINT)
    sleep(PATIENCE_S)
    os._exit(1)
