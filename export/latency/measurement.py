"""What is timed, and its figures: a `Target` in, a `Measurement` out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Final, Literal

from pipeline.resize.rule import Size

Status = Literal["done", "not_run", "failed"]
OUR_WORKER: Final = (sys.executable, "-m", "export.latency.worker")


@dataclass(frozen=True)
class Target:
    """An artifact, PyTorch eager (format ``eager``, path of the checkpoint), or a peer.

    Attributes:
        format, precision: which one; passed to its worker.
        path: the file or folder that is loaded.
        side: of a square image in pixels; height and width of another.
        title: its name in tables; empty: format and precision.
        worker: command that implements `export.latency.protocol`; the fields above and a thread
            count are appended.
        variables: the worker's environment; None: this process's.
        limit: if outputs are compared, the largest |Δp| that is still timed; None: any.
    """

    format: str
    precision: str
    path: Path
    side: Size
    title: str = ""
    worker: Sequence[str] = OUR_WORKER
    variables: Mapping[str, str] | None = field(default=None, hash=False)
    limit: float | None = None

    @property
    def name(self) -> str:
        """The name in tables."""
        if self.title:
            return self.title
        return "PyTorch eager" if self.format == "eager" else f"{self.format} {self.precision}"


@dataclass(frozen=True)
class Measurement:
    """Figures of one target at one thread count; times in ms, memory in MiB.

    Attributes:
        rounds_ms: of each counted round, the latency of each inference.
        max_abs_diff: largest |Δp| to PyTorch; None: not compared.
        detail: what the runtime reports about itself.
    """

    target: Target
    threads: int
    status: Status = "done"
    reason: str = ""
    load_ms: float | None = None
    first_ms: float | None = None
    rounds_ms: Sequence[Sequence[float]] = field(default_factory=tuple)
    peak_mb: float | None = None
    runtime_mb: float | None = None
    max_abs_diff: float | None = None
    detail: str = ""

    @property
    def latencies_ms(self) -> list[float]:
        """All inferences of all rounds."""
        return [latency for latencies in self.rounds_ms for latency in latencies]

    @property
    def round_medians_ms(self) -> list[float]:
        """The median of each round: what is paired with another target's in a ratio."""
        return [median(latencies) for latencies in self.rounds_ms]

    @property
    def median_ms(self) -> float | None:
        """Median over all inferences of all rounds."""
        return median(self.latencies_ms) if self.latencies_ms else None

    @property
    def p90_ms(self) -> float | None:
        """90th percentile over all inferences of all rounds."""
        latencies = self.latencies_ms
        return quantiles(latencies, n=10)[8] if len(latencies) > 1 else None
