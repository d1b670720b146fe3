"""Other programs (pip, apt-get, dpkg-deb), run quietly: a failure quotes their last line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import MissingDependency


def find_program(name: str, way_out: str) -> str:
    """The path of a program. Raises MissingDependency, whose message ends with `way_out`."""
    path = shutil.which(name)
    if path is None:
        raise MissingDependency(f"{name} is not on this machine; {way_out}")
    return path


def run_program(
    command: Sequence[str | Path],
    failure: str,
    way_out: str,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> None:
    """Run `command` to its end.

    Args:
        command: program and arguments.
        failure: what a failure means, the start of the error.
        way_out: how to fix that, the end of the error.
        folder: working directory; None: this process's.
        variables: all environment variables; None: this process's.

    Raises:
        MissingDependency: it failed: `failure`, its last line, `way_out`.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        words = last_words(done.stdout, 1) or f"exit code {done.returncode}"
        raise MissingDependency(f"{failure} ({words}); {way_out}")


def last_words(output: str, count: int) -> str:
    """The last `count` lines of a program's output that are not empty, as one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " | ".join(lines[-count:])
