"""The memory of a process and of all that it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import process_tree
from benchmarks.process_tree import look, run_watched

pytestmark = pytest.mark.slow("starts processes")

HOLD = (
    "import pathlib, time\nheld = bytearray(b'x' * (%d << 20))\n"
    "while not pathlib.Path(%r).exists(): time.sleep(0.01)"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@linux
def test_the_peak_is_of_a_child_and_its_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hold what they have until it was seen."""
    seen = tmp_path / "seen"

    def looking(root: psutil.Process) -> tuple[float, dict[psutil.Process, float]]:
        found = look(root)
        if found[0] > 140:
            seen.touch()
        return found

    monkeypatch.setattr(process_tree, "look", looking)
    below = f"subprocess.run([sys.executable, '-c', {HOLD % (80, str(seen))!r}])"
    child = f"import subprocess, sys; held = bytearray(b'x' * (60 << 20)); {below}"
    used = run_watched([sys.executable, "-c", child], tmp_path / "log", dict(os.environ))
    assert used.code == 0
    assert used.peak_mib > 140
    assert used.seconds > 0
    assert used.cpu_seconds > 0


@linux
def test_what_a_command_prints_and_its_exit_code_are_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('said'); raise SystemExit(3)"]
    used = run_watched(command, tmp_path / "log", dict(os.environ))
    assert (used.code, used.output) == (3, "said\n")


@linux
def test_a_process_that_is_gone_takes_nothing() -> None:
    process = psutil.Popen([sys.executable, "-c", ""])
    process.wait()
    assert look(process) == (0, {})


@linux
def test_processor_time_of_a_process_that_nobody_waits_for_counts(tmp_path: Path) -> None:
    """As a fork server's children are: the system adds up only what a parent has waited for."""
    work = "import time\nwhile time.process_time() < 2: pass"
    child = (
        "import os, subprocess, sys\n"
        f"below = subprocess.Popen([sys.executable, '-c', {work!r}])\n"
        "os.waitid(os.P_PID, below.pid, os.WEXITED | os.WNOWAIT)\n"
        "os._exit(0)"
    )
    used = run_watched([sys.executable, "-c", child], tmp_path / "log", dict(os.environ))
    assert used.cpu_seconds > 1
