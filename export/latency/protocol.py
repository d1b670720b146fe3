"""The protocol between `export.latency.measure` and the process that runs one target.

One command per line on stdin, one JSON object per line on stdout::

                    {"runtime_mb": ...}             once the runtime is imported, unasked
    load            {"load_ms": ..., "first_ms": ..., "detail": ...}
    probs FILE      {"probs": [[...], ...]}         for the images in FILE.npy, (N, H, W, 3)
    round SECONDS   {"latencies_ms": [...]}
    end             {"peak_mb": ...}

``{"not_run": reason}`` or ``{"failed": reason}`` in place of any of them ends the process. With
one process per target, peak memory is the target's own, and the threads of runtimes do not disturb
each other. Peers use this too, in their own environments: standard library and numpy only.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export.errors import CannotRunHere
from pipeline.resize.notation import height_width
from pipeline.resize.rule import Size

MIN_INFERENCES: Final = 3  # per round, however slow


def _as_it_is(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images


@dataclass(frozen=True)
class WorkerAnswer:
    """A line from the process; what it leaves out is None. Times in ms, memory in MiB.

    Attributes:
        probs: nested lists, (N, K).
        not_run, failed: why the process ends.
    """

    runtime_mb: float | None = None
    load_ms: float | None = None
    first_ms: float | None = None
    detail: str | None = None
    probs: list[object] | None = None
    latencies_ms: list[float] | None = None
    peak_mb: float | None = None
    not_run: str | None = None
    failed: str | None = None

    def known(self) -> dict[str, Any]:
        """The fields that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def then(self, later: WorkerAnswer) -> WorkerAnswer:
        """Both answers in one; `later` replaces fields that both have."""
        return replace(self, **later.known())


@dataclass(frozen=True)
class Session:
    """A loaded target.

    Attributes:
        infer: timed: the result of `prepare` -> probabilities, float32 (1, K).
        prepare: not timed: uint8 (1, H, W, 3) -> the input of `infer`.
        detail: facts that only the runtime has, for the table.
    """

    infer: Callable[[Any], NDArray[np.floating]]
    prepare: Callable[[NDArray[np.uint8]], Any] = _as_it_is
    detail: str = ""


def serve(import_runtime: Callable[[], object], load: Callable[[], Session], side: Size) -> None:
    """Serve the commands of the module's docstring until ``end``, an error or the end of stdin.

    Args:
        import_runtime: is called first, so that its memory is not counted as the model's.
        load: is called and timed on the command ``load``. May raise CannotRunHere.
        side: of the square image that is timed, in pixels; height and width of another.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of a runtime must not mix with the answers

    def say(answer: WorkerAnswer) -> None:
        answers.write(json.dumps(answer.known()) + "\n")
        answers.flush()

    try:
        import_runtime()
        say(WorkerAnswer(runtime_mb=_peak_mb()))
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (1, *height_width(side), 3), dtype=np.uint8)
        session: Session | None = None
        for line in sys.stdin:
            command, _, argument = line.rstrip("\n").partition(" ")
            if command == "load":
                start = time.perf_counter()
                session = load()
                loaded = time.perf_counter()
                given = session.prepare(images)
                ready = time.perf_counter()
                session.infer(given)
                first = time.perf_counter()
                load_ms, first_ms = (loaded - start) * 1e3, (first - ready) * 1e3
                say(WorkerAnswer(load_ms=load_ms, first_ms=first_ms, detail=session.detail))
            elif command == "probs" and session is not None:
                say(WorkerAnswer(probs=_probs(session, np.load(argument, mmap_mode="r"))))
            elif command == "round" and session is not None:
                say(WorkerAnswer(latencies_ms=_time(session, images, float(argument))))
            else:
                say(WorkerAnswer(peak_mb=_peak_mb()))
                return
    except CannotRunHere as reason:
        say(WorkerAnswer(not_run=str(reason)))
    except Exception as error:  # shown in the table as what it is
        say(WorkerAnswer(failed=f"{type(error).__name__}: {error}"))


def _probs(session: Session, images: NDArray[np.uint8]) -> list[object]:
    """(N, K), image by image as in the timed rounds."""
    probs = [session.infer(session.prepare(np.array(image[None]))) for image in images]
    answered: list[object] = np.concatenate([np.asarray(p, np.float64) for p in probs]).tolist()
    return answered


def _time(session: Session, images: NDArray[np.uint8], seconds: float) -> list[float]:
    infer, given = session.infer, session.prepare(images)
    latencies_ms: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(latencies_ms) < MIN_INFERENCES:
        start = time.perf_counter()
        infer(given)
        latencies_ms.append((time.perf_counter() - start) * 1e3)
    return latencies_ms


def _peak_mb() -> float:
    """Peak resident memory of this process in MiB; systems count in bytes or in KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
