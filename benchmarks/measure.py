"""Time several artifacts fairly: one process each, rounds in turn, so that noise hurts all alike.

In: targets and thread counts. Out: `Measurement` per target and thread count: load time, first
inference, latencies of all rounds, peak memory; or why there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

REST_S: Final = 0.03  # lets a runtime's spinning threads fall asleep before the next one runs
START_TIMEOUT_S: Final = 120


@dataclass(frozen=True)
class Target:
    """What is timed: an artifact, or PyTorch eager (format ``eager``, path of the checkpoint)."""

    format: str
    precision: str
    path: Path
    side: int

    @property
    def name(self) -> str:
        """As in tables."""
        return "PyTorch eager" if self.format == "eager" else f"{self.format} {self.precision}"


@dataclass(frozen=True)
class Measurement:
    """Figures of one target at one thread count; times in ms, memory in MiB."""

    target: Target
    threads: int
    status: str = "done"  # or not_run, failed
    reason: str = ""
    load_ms: float | None = None
    first_ms: float | None = None
    latencies_ms: Sequence[float] = field(default_factory=tuple)
    peak_mb: float | None = None
    runtime_mb: float | None = None

    @property
    def median_ms(self) -> float | None:
        """Median over all inferences of all rounds."""
        return median(self.latencies_ms) if self.latencies_ms else None

    @property
    def p90_ms(self) -> float | None:
        """90th percentile over all inferences of all rounds."""
        return quantiles(self.latencies_ms, n=10)[8] if len(self.latencies_ms) > 1 else None


def measure(
    targets: Sequence[Target],
    threads: Sequence[int],
    rounds: int,
    round_s: float,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Measurement]:
    """Time all `targets` at each thread count in `threads`.

    Args:
        targets: what to time.
        threads: thread counts, one after the other.
        rounds: each target has so many turns; the first is a warm-up and not counted.
        round_s: length of a turn in seconds.
        progress: is told what is going on.
    """
    return [
        measurement
        for count in threads
        for measurement in _measure_at(targets, count, rounds, round_s, progress)
    ]


def _measure_at(
    targets: Sequence[Target],
    threads: int,
    rounds: int,
    round_s: float,
    progress: Callable[[str], None],
) -> list[Measurement]:
    workers = [_Worker(target, threads) for target in targets]
    try:
        for worker in workers:
            worker.answer()
        for worker in workers:
            worker.ask("load")
        for turn in range(rounds + 1):
            progress(f"{threads} thread{'s' * (threads > 1)}, round {turn} of {rounds}")
            for worker in workers:
                time.sleep(REST_S)
                latencies = worker.ask(f"round {round_s}").get("latencies_ms", [])
                if turn:  # the first turn warms up
                    worker.latencies_ms += latencies
        for worker in workers:
            worker.ask("end")
        return [worker.measurement() for worker in workers]
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """A process of `benchmarks.worker` and what it has said so far."""

    def __init__(self, target: Target, threads: int) -> None:
        self.target, self.threads = target, threads
        self.said: dict[str, Any] = {}
        self.latencies_ms: list[float] = []
        command = [sys.executable, "-m", "benchmarks.worker", target.format, str(target.path)]
        self.process = subprocess.Popen(
            [*command, str(target.side), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )

    @property
    def alive(self) -> bool:
        return not self.said.keys() & {"not_run", "failed"}

    def ask(self, command: str) -> dict[str, Any]:
        if not self.alive:
            return {}
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` then finds the process gone
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        said: dict[str, Any] = (
            json.loads(line) if line else {"failed": f"exit code {self.process.wait()}"}
        )
        self.said |= said
        return said

    def measurement(self) -> Measurement:
        status = next((s for s in ("not_run", "failed") if s in self.said), "done")
        figures = ("load_ms", "first_ms", "peak_mb", "runtime_mb")
        return Measurement(
            self.target,
            self.threads,
            status=status,
            reason=self.said.get(status, ""),
            latencies_ms=tuple(self.latencies_ms),
            **{name: self.said.get(name) for name in figures},
        )

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self.process.kill()
        self.process.wait()
