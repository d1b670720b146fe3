from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks.peers.register import PEERS

NAMES = list(PEERS)


def test_the_keys_are_the_names() -> None:
    assert [peer.NAME for peer in PEERS.values()] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_package_of_a_peer_is_pinned(name: str) -> None:
    pinned = re.compile(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*")
    assert all(pinned.fullmatch(package) for package in PEERS[name].PACKAGES)


@pytest.mark.parametrize("name", NAMES)
def test_every_peer_says_what_is_timed_and_has_an_fp32_row_with_a_strict_limit(name: str) -> None:
    peer = PEERS[name]
    assert peer.LIMITS["fp32"] <= 1e-3
    assert max(peer.LIMITS.values()) <= 2e-2
    assert peer.TIMED
    assert peer.THREADS_BY
    assert peer.GROUP in ("peer", "recipe")


def test_what_runs_in_a_peers_environment_needs_numpy_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "numpy").symlink_to(Path(np.__file__).parent)
    libraries = Path(np.__file__).parent.parent / "numpy.libs"
    if libraries.exists():
        (tmp_path / "numpy.libs").symlink_to(libraries)
    root = Path(benchmarks.__file__).parent.parent
    modules = [peer.__name__ for peer in PEERS.values()]
    modules += ["benchmarks.peers.worker", "benchmarks.peers.converter"]
    done = subprocess.run(
        [sys.executable, "-S", "-s", "-P", "-c", f"import {', '.join(modules)}"],
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
