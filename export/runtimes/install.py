"""``python -m export.runtimes install``: fetch foreign environments into the cache.

Everything comes by package name through pip and apt-get, as they are configured on this machine.
An environment is put in place only after its runtime has been imported in it.

On an Arm machine the arm64 environments are plain folders of packages run by this Python; that
path is not tested, since no such machine was available.
"""

from __future__ import annotations

import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from export.runtimes import cache, emulator
from export.runtimes.environments import Environment
from export.runtimes.interpreter import python_command
from export.runtimes.subprocesses import run_program

# Every tag of the register's aarch64 wheels on PyPI; pip does not derive the older ones.
EMULATED_TARGET: Final = (
    "--platform=manylinux_2_28_aarch64",
    "--platform=manylinux_2_27_aarch64",
    "--platform=manylinux_2_17_aarch64",
    "--platform=manylinux2014_aarch64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
)
MB: Final = 1_000_000


def install(environments: Iterable[Environment], say: Callable[[str], None]) -> None:
    """Fetch what is missing; `say` takes a line of progress.

    Raises:
        MissingDependency: a tool, the network or a package for this Python is missing.
        BadInput: the cache folder cannot be written.
    """
    for environment in environments:
        if emulator.is_emulated(environment):
            emulator.install(say)
        name, recipe = environment.name, recipe_of(environment)
        if cache.is_whole(name, recipe):
            say(f"{name}: there already")
            continue
        say(f"{name}: fetching {', '.join(environment.packages)}")
        start = time.monotonic()
        cache.fill(name, recipe, partial(_build, environment))
        size = sum(p.stat().st_size for p in cache.entry(name).rglob("*") if p.is_file())
        say(f"{name}: {size / MB:.0f} MB in {time.monotonic() - start:.0f} s")


def is_installed(environment: Environment) -> bool:
    """Whether the environment is there, with the register's packages and for this Python."""
    if emulator.is_emulated(environment) and not emulator.is_installed():
        return False
    return cache.is_whole(environment.name, recipe_of(environment))


def recipe_of(environment: Environment) -> tuple[str, ...]:
    """What identifies an installed environment: its packages, and whose machine code it is."""
    return (*environment.packages, f"for {_target(environment)}")


def _target(environment: Environment) -> str:
    if emulator.is_emulated(environment):
        return "Python 3.11 on linux-aarch64 (emulated)"
    return f"Python {sysconfig.get_python_version()} on {sysconfig.get_platform()}"


def _build(environment: Environment, folder: Path) -> None:
    target, emulated = _target(environment), emulator.is_emulated(environment)
    options = EMULATED_TARGET if emulated else ()
    needs = "a network" if emulated else "a network and Python 3.11"
    run_program(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-input", "--root-user-action=ignore", "--no-deps", "--only-binary=:all:"),
            *(*options, "--target", folder, *environment.packages),
        ],
        f"pip cannot fetch {', '.join(environment.packages)} for {target}",
        f"make {environment.target} needs {needs}",
    )
    command, variables = python_command(environment, folder)
    run_program(
        [*command, "-c", f"import {environment.module}"],
        f"{environment.packages[0]} does not start on {target}",
        "it was not installed",
        variables=variables,
    )
