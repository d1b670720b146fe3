"""The memory of a process and of all that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import process_tree
from benchmarks.process_tree import run_watched, tree_mib

pytestmark = pytest.mark.slow("starts processes")

HOLD = (
    "import pathlib, time\nheld = bytearray(b'x' * (%d << 20))\n"
    "while not pathlib.Path(%r).exists(): time.sleep(0.01)"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_memory_of_a_process_and_all_below_it_adds_up_and_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = {10: 1, 11: 10, 12: 11, 20: 1}  # process -> parent
    for number, parent in below.items():
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "stat").write_text(f"{number} (a ) name) S {parent} 0 0")
        pages = f"Rss: 999999 kB\nPss: {number * 1024} kB\nPss_Dirty: 999999 kB\n"
        (folder / "smaps_rollup").write_text(pages)
    (tmp_path / "13").mkdir()  # ended between two readings
    monkeypatch.setattr(process_tree, "PROC", tmp_path)
    assert tree_mib(10) == 10 + 11 + 12
    assert tree_mib(20) == 20


@linux
def test_the_peak_is_of_a_child_and_its_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hold what they have until it was seen."""
    seen = tmp_path / "seen"

    def look(root: int) -> float:
        found = tree_mib(root)
        if found > 140:
            seen.touch()
        return found

    monkeypatch.setattr(process_tree, "tree_mib", look)
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
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree_mib(process.pid) == 0
