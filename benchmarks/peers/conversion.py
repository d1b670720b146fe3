"""Sources in, a peer's own file out: kept in the build folder until something about it changes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers import sources as sources_module
from benchmarks.peers.base import Peer
from benchmarks.peers.environment import WAY_OUT, is_installed, peer_python, recipe_of
from benchmarks.peers.sources import PeerSources
from export.errors import ConversionFailed
from export.latency.measurement import Status
from export.runtimes.subprocesses import last_words
from pipeline.atomic_files import staged_folder
from pipeline.checkpoint import open_checkpoint
from pipeline.resize.notation import side_text

MODEL: Final = "model"  # what the peer wrote, next to the recipe
RECIPE_FILE: Final = "recipe.txt"
TIMEOUT_S: Final = 600


@dataclass(frozen=True)
class PeerConversion:
    """The result; `folder` is what the peer loads, and exists only if the status is done."""

    folder: Path
    status: Status = "done"
    reason: str = ""


def convert(peer: Peer, sources: PeerSources, target: Path) -> PeerConversion:
    """Convert in the peer's environment, unless `target` already has the result.

    Raises:
        BadInput: `target` cannot be written.
    """
    folder = target / MODEL
    if not is_installed(peer):
        return PeerConversion(folder, "not_run", f"{peer.TITLE} is not installed; {WAY_OUT}")
    recipe = "".join(f"{line}\n" for line in _recipe(peer, sources))
    if _is_whole(target, recipe):
        return PeerConversion(folder)
    try:
        with staged_folder(target) as staging:
            (staging / MODEL).mkdir()
            _convert(peer, sources, staging / MODEL)
            (staging / RECIPE_FILE).write_text(recipe, encoding="utf-8")
    except ConversionFailed as failure:
        return PeerConversion(folder, "failed", str(failure))
    return PeerConversion(folder)


def _recipe(peer: Peer, sources: PeerSources) -> list[str]:
    """What the file depends on: weights, packages and the converting code."""
    code = [sys.modules[peer.__name__].__file__, sources_module.__file__]
    return [
        f"checkpoint {open_checkpoint(sources.checkpoint).sha256}",
        *recipe_of(peer),
        *(f"code {hashlib.sha256(Path(str(file)).read_bytes()).hexdigest()}" for file in code),
    ]


def _is_whole(target: Path, recipe: str) -> bool:
    try:
        return (target / RECIPE_FILE).read_text(encoding="utf-8") == recipe
    except OSError:
        return False


def _convert(peer: Peer, sources: PeerSources, folder: Path) -> None:
    command, variables = peer_python(peer)
    places = (sources.folder.absolute(), sources.checkpoint.absolute(), side_text(sources.side))
    try:
        done = subprocess.run(
            [
                *(*command, "-m", "benchmarks.peers.converter", peer.__name__),
                *map(str, places),
                str(folder.absolute()),
            ],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionFailed(f"its conversion takes longer than {TIMEOUT_S} s") from error
    if done.returncode != 0:
        words = last_words(done.stderr, 1) or f"exit code {done.returncode}"
        raise ConversionFailed(f"conversion: {words}")
