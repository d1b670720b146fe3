"""A peer with planted faults: its precision says what it does. Runs in real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.peers.sources import PeerSources
from export.errors import CannotRunHere
from export.latency.protocol import Session

NAME: Final = "planted"
TITLE: Final = "Planted"
GROUP: Final = "peer"
PACKAGES: Final[tuple[str, ...]] = ()
BESIDE_TORCH: Final = True  # for numpy
IMPORTS: Final = ("json",)
LIMITS: Final = {"fp32": 1e-3, "swapped": 1e-3}
TIMED: Final = "nothing to speak of"
THREADS_BY: Final = "having none"
ANSWER: Final = (0.25, 0.75)


def convert(sources: PeerSources, folder: Path) -> None:
    """Keep nothing but a mark; a checkpoint named 'doomed' cannot be converted."""
    if sources.checkpoint.name == "doomed":
        raise RuntimeError("first line\nop aten::doom is not supported")
    with (sources.folder / "conversions.log").open("a") as log:
        log.write("converted\n")
    (folder / "model.bin").write_bytes(b"planted")


def load(folder: Path, precision: str, threads: int) -> Session:
    def answer(*probs: float) -> Callable[[Any], Any]:
        def infer(images: Any) -> Any:
            time.sleep(0.001)  # figures are rounded to a microsecond and must not be 0
            return np.array([probs], np.float32)

        return infer

    def die(images: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang(images: Any) -> Any:
        time.sleep(600)

    if precision == "elsewhere":
        raise CannotRunHere("not on this processor")
    answers = {
        "fp32": answer(*ANSWER),
        "swapped": answer(*reversed(ANSWER)),
        "nan": answer(float("nan"), 0.5),
        "three": answer(*ANSWER, 0.0),
        "dies": die,
        "hangs": hang,
    }
    return Session(answers[precision], detail=f"of {threads}")
