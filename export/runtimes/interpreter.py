"""The command line that runs a script in an environment: under this Python, or an emulated Arm one.

Neither the project nor the packages installed with it are importable there: no site-packages (`-S`,
`-s`), no folder of the script (`-P`), no variables of the caller's Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from export.runtimes.emulator import emulated_python, is_emulated
from export.runtimes.environments import Environment

ALONE = ("-S", "-s", "-P")
KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LANG")


def python_command(environment: Environment, packages: Path) -> tuple[list[str], dict[str, str]]:
    """The start of a command line and the environment variables for it.

    Args:
        environment: one of the register.
        packages: the folder that its packages are in.
    """
    variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    variables["OMP_NUM_THREADS"] = str(environment.threads)
    if is_emulated(environment):
        return [*emulated_python(packages), *ALONE], variables
    variables["PYTHONPATH"] = str(packages)
    return [sys.executable, *ALONE], variables
