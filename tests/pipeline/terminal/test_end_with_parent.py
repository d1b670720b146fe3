"""A child ends when its parent is gone, whatever it is doing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
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


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()


@pytest.mark.parametrize("work", WORK)
def test_a_child_ends_when_its_parent_is_killed(work: str) -> None:
    command = [sys.executable, "-c", PARENT, WORK[work]]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_there(child)
        parent.kill()
    while is_there(child):  # a test that hangs is ended from outside
        time.sleep(0.1)
