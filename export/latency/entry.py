"""The latency of one artifact in manifest and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ThreadLatency:
    """Milliseconds of one inference; None: too few measurements."""

    median: float | None
    p90: float | None


@dataclass(frozen=True)
class LatencyEntry:
    """Times by thread count, and the machine (`export.latency.machine`) that took them."""

    machine: Mapping[str, str | int]
    threads: Mapping[str, ThreadLatency]
