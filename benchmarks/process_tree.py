"""A command, its wall time, and the peak memory of it and all processes that it starts.

Memory is proportional set size: a page that n processes share counts 1/n in each, so that the sum
is what the tree takes from the machine (Linux, Documentation/filesystems/proc.rst, smaps_rollup).
It is read every `POLL_S`; a peak between two readings is missed.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import BadInput

POLL_S: Final = 0.2
PROC: Final = Path("/proc")


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
    start, peak, cpu_before = time.perf_counter(), 0.0, _cpu_seconds()
    with log.open("w", encoding="utf-8") as lines:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=lines, stderr=subprocess.STDOUT, env=variables
        )
        try:
            while process.poll() is None:
                peak = max(peak, tree_mib(process.pid))
                time.sleep(POLL_S)
        finally:
            process.kill()
            process.wait()
    seconds = time.perf_counter() - start
    cpu_seconds = _cpu_seconds() - cpu_before
    return Used(process.returncode, log.read_text(encoding="utf-8"), seconds, cpu_seconds, peak)


def _cpu_seconds() -> float:
    """Of all descendants of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tree_mib(root: int) -> float:
    """Memory of a process and its descendants, in MiB; those that end meanwhile count as 0."""
    parents: dict[int, int] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:  # "pid (name) state parent ...", where the name may hold anything
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
    tree = {root}
    while more := {child for child, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return sum(map(_process_kib, tree)) / 1024


def _process_kib(number: int) -> int:
    try:
        lines = (PROC / str(number) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
