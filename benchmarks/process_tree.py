"""A command: its wall time, and processor time and peak memory of it and all processes it starts.

Memory is proportional set size: a page that n processes share counts 1/n in each, so that the sum
is what the tree takes from the machine (Linux, Documentation/filesystems/proc.rst, smaps_rollup).
It is read every `POLL_S`, or more seldom where reading takes long; what happens between two
readings is missed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from pipeline.errors import BadInput

POLL_S: Final = 0.2
BETWEEN: Final = 20  # at least so many times what a reading took: it holds up what it reads


@dataclass(frozen=True)
class Used:
    """What a command took.

    Attributes:
        code: its exit code.
        output: stdout and stderr together.
        seconds: wall time.
        cpu_seconds: of all processors together; says more than wall time on a shared machine.
        peak_mib: largest sum of memory over the tree.
    """

    code: int
    output: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_watched(command: Sequence[str | Path], log: Path, variables: Mapping[str, str]) -> Used:
    """Run `command` to its end and measure it.

    Args:
        command: program and arguments.
        log: a file for what it prints.
        variables: all environment variables.

    Raises:
        BadInput: a system without /proc.
    """
    if sys.platform != "linux":
        raise BadInput("the memory of a process tree is read from /proc; run this on Linux")
    start, peak, spent = time.perf_counter(), 0.0, dict[psutil.Process, float]()
    with log.open("w", encoding="utf-8") as lines:
        process = psutil.Popen(
            command, stdin=subprocess.DEVNULL, stdout=lines, stderr=subprocess.STDOUT, env=variables
        )
        try:
            while process.poll() is None:
                looked = time.perf_counter()
                mib, seconds = look(process)
                peak = max(peak, mib)
                spent |= seconds
                time.sleep(max(POLL_S, BETWEEN * (time.perf_counter() - looked)))
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            process.wait()
    return Used(
        process.returncode,
        log.read_text(encoding="utf-8"),
        time.perf_counter() - start,
        sum(spent.values()),
        peak,
    )


def look(root: psutil.Process) -> tuple[float, dict[psutil.Process, float]]:
    """Memory of a process and its descendants in MiB, and the processor seconds of each so far.

    Those that end meanwhile are left out.
    """
    total, seconds = 0, {}
    with suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess), process.oneshot():
                times = process.cpu_times()
                seconds[process] = times.user + times.system
                total += process.memory_full_info().pss
    return total / 2**20, seconds
