"""Imported by the process that converters are forked from: what they need, once for all of them.

It takes several seconds, in which the parity images are read. A package that cannot be imported is
passed over here; the converter that needs it says so. The process starts itself anew for that: what
such a package leaves half imported, a later import of it would trip over in every converter.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import forkserver
from typing import Final

MODULES: Final = "EXPORT_CONVERTER_IMPORTS"  # variable of the process: names, in order
ALWAYS: Final = ("torchvision", "export.parity.check")  # networks are built, files are checked
# One process per core runs already; threads that wait for each other take twice as long. torch and
# numpy read these variables once, when they are imported.
ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def begin(modules: Iterable[str]) -> None:
    """Start that process, unless it runs, and return at once."""
    multiprocessing.set_forkserver_preload([__name__])
    held = {name: os.environ.get(name) for name in (MODULES, *ONE_THREAD)}
    os.environ.update({MODULES: " ".join([*ALWAYS, *dict.fromkeys(modules)]), **ONE_THREAD})
    try:
        forkserver.ensure_running()
    finally:
        for name, value in held.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _in_silence() -> Iterator[None]:
    """Packages say on import what they miss; whose converter fails finds it in its own log."""
    kept = os.dup(1), os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for number in (*kept, nothing):
            os.close(number)


def _first_that_fails(names: Iterable[str]) -> str | None:
    parent = os.getppid()
    with _in_silence():
        for name in names:
            if os.getppid() != parent:
                os._exit(1)  # killed meanwhile
            try:
                import_module(name)
            except Exception as failure:
                if not (isinstance(failure, ModuleNotFoundError) and failure.name == name):
                    return name  # it is there, and broken
    return None


names = os.environ.pop(MODULES, "").split()
if names and (broken := _first_that_fails(names)):
    os.environ[MODULES] = " ".join(name for name in names if name != broken)
    os.execv(sys.executable, sys.orig_argv)  # same process, same sockets
