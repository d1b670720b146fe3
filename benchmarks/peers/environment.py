"""The environment of a peer: a folder of pinned packages in the cache, and the Python that sees it.

Python itself is this project's. In a peer's process it finds the peer's packages, then (for a peer
that converts from torch) this project's own, then the project's modules. Other site-packages and
the caller's variables are left out, so that a peer runs the same whatever else is installed.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import benchmarks
from benchmarks.peers.base import Peer
from export.runtimes import cache
from export.runtimes.interpreter import ALONE, KEPT_VARIABLES
from export.runtimes.subprocesses import run_program
from pipeline.errors import MissingDependency

WAY_OUT: Final = "make peers"
BESIDE: Final = ("torch", "torchvision", "numpy")  # another version needs another environment
MB: Final = 1_000_000


def install(peers: Iterable[Peer], say: Callable[[str], None]) -> list[str]:
    """Fetch what is missing, one peer after the other; one that fails does not stop the rest.

    Args:
        peers: of the register.
        say: takes a line of progress.

    Returns:
        The reason for each peer that could not be installed.

    Raises:
        BadInput: the cache folder cannot be written.
    """
    failures = []
    for peer in peers:
        if not peer.PACKAGES:
            say(f"{peer.TITLE}: needs nothing more")
            continue
        if is_installed(peer):
            say(f"{peer.TITLE}: already installed")
            continue
        say(f"{peer.TITLE}: fetching {', '.join(peer.PACKAGES)}")
        start = time.monotonic()
        try:
            cache.fill(_entry(peer), recipe_of(peer), partial(_build, peer))
        except MissingDependency as failure:
            failures.append(f"{peer.TITLE}: {failure}")
            say(failures[-1])
            continue
        files = [p for p in cache.entry(_entry(peer)).rglob("*") if p.is_file()]
        size = sum(file.stat().st_size for file in files)
        say(f"{peer.TITLE}: {size / MB:.0f} MB in {time.monotonic() - start:.0f} s")
    return failures


def is_installed(peer: Peer) -> bool:
    """Whether its environment exists, with the packages of the register and for this Python."""
    return not peer.PACKAGES or cache.is_whole(_entry(peer), recipe_of(peer))


def recipe_of(peer: Peer) -> tuple[str, ...]:
    """What identifies an environment: its packages, its Python, and the versions next to them."""
    lines = [*peer.PACKAGES]
    lines.append(f"for Python {sysconfig.get_python_version()} on {sysconfig.get_platform()}")
    if peer.BESIDE_TORCH:
        lines += [f"beside {name}=={version(name)}" for name in BESIDE]
    return tuple(lines)


def peer_python(peer: Peer, packages: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """The start of a command line in the peer's environment, and the variables for it.

    Args:
        peer: whose environment.
        packages: the folder that its packages are in; None: where `install` puts it.
    """
    places = [packages or cache.entry(_entry(peer))] if peer.PACKAGES else []
    if peer.BESIDE_TORCH:
        places += [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    places.append(Path(benchmarks.__file__).absolute().parent.parent)
    variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(map(str, places)))
    return [sys.executable, *ALONE], variables


def _entry(peer: Peer) -> str:
    return f"peer-{peer.NAME}"


def _build(peer: Peer, folder: Path) -> None:
    listed = ", ".join(peer.PACKAGES)
    python = f"Python {sysconfig.get_python_version()} on {sysconfig.get_platform()}"
    run_program(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-input", "--root-user-action=ignore", "--no-deps", "--only-binary=:all:"),
            *("--target", str(folder), *peer.PACKAGES),
        ],
        f"pip cannot fetch {listed} for {python}",
        f"{WAY_OUT} needs a network and Python 3.11",
    )
    command, variables = peer_python(peer, folder)
    run_program(
        [*command, "-c", f"import {', '.join(peer.IMPORTS)}"],
        f"{peer.PACKAGES[0]} does not start on {python}",
        "it was not installed",
        variables=variables,
    )
