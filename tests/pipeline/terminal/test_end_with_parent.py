"""A child ends when its parent is gone, whatever it is doing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until_ended

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there a process keeps its parent's number")
WORK = {
    "that waits": "time.sleep(600)",
    "that computes": "exec('while True: pass')",
    "that does not mind Ctrl-C": (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    ),
}
PARENT = """
import subprocess, sys, time
child = "from pipeline.terminal.end_with_parent import end_with_parent as e; e(); import time; "
child += "print('begun', flush=True); " + sys.argv[1]
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True)
process.stdout.readline()
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("work", WORK)
def test_a_child_ends_when_its_parent_is_killed(work: str) -> None:
    command = [sys.executable, "-c", PARENT, WORK[work]]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    wait_until_ended([child])
