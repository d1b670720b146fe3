"""One artifact in one process: loads it when told, times inferences when told.

Line by line on stdin: ``load``, ``round SECONDS``, ``end``. One JSON object per line on stdout.
A process of its own makes peak memory the artifact's own, and keeps one runtime's threads out of
another's way.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from export.errors import CannotRunHere
from export.formats import FORMATS

Infer = Callable[[NDArray[np.uint8]], object]

MIN_INFERENCES: Final = 3  # a round has at least so many, however slow
EAGER: Final = "eager"


def main() -> None:
    """Serve the commands of `benchmarks.measure`; arguments: format, path, side, threads."""
    format_name, path = sys.argv[1], Path(sys.argv[2])
    side, threads = int(sys.argv[3]), int(sys.argv[4])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a runtime prints must not mix with the answers

    def answer(**values: Any) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    try:
        load = _eager if format_name == EAGER else _artifact
        import_module("torch" if format_name == EAGER else FORMATS[format_name].RUNTIME)
        answer(runtime_mb=_peak_mb())
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        infer: Infer | None = None
        for line in sys.stdin:
            command, *arguments = line.split()
            if command == "load":
                start = time.perf_counter()
                infer = load(format_name, path, threads)
                loaded = time.perf_counter()
                infer(images)
                first = time.perf_counter()
                answer(load_ms=(loaded - start) * 1e3, first_ms=(first - loaded) * 1e3)
            elif command == "round" and infer is not None:
                answer(latencies_ms=_time(infer, images, float(arguments[0])))
            else:
                answer(peak_mb=_peak_mb())
                return
    except CannotRunHere as reason:
        answer(not_run=str(reason))
    except Exception as error:  # shown in the table as what it is
        answer(failed=f"{type(error).__name__}: {error}")


def _artifact(format_name: str, path: Path, threads: int) -> Infer:
    module = FORMATS[format_name]
    session = module.load(path, threads)
    return lambda images: module.run(session, images)


def _eager(format_name: str, path: Path, threads: int) -> Infer:
    """PyTorch as it is, from the checkpoint folder `path`."""
    import torch

    from export.graph import build_graph, reference_probs
    from pipeline.checkpoint import read_spec

    torch.set_num_threads(threads)
    graph = build_graph(path, read_spec(path))
    return lambda images: reference_probs(graph, images)


def _time(infer: Infer, images: NDArray[np.uint8], seconds: float) -> list[float]:
    latencies_ms: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(latencies_ms) < MIN_INFERENCES:
        start = time.perf_counter()
        infer(images)
        latencies_ms.append((time.perf_counter() - start) * 1e3)
    return latencies_ms


def _peak_mb() -> float:
    """Peak resident memory of this process in MiB; the system counts in bytes or in KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
