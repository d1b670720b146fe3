"""Ratios of latencies, paired by round, with their spread.

Targets take turns, so rounds of the same number lie within seconds of each other. The ratio of the
two medians in such a round cancels most of what a shared machine does to both. The median over the
rounds is the figure; their 10th and 90th percentile show how far to trust it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from export.latency.measurement import Measurement

PERCENTILES: Final = (10, 50, 90)


@dataclass(frozen=True)
class Ratio:
    """Over all rounds: the median, and the range from the 10th to the 90th percentile."""

    median: float
    low: float
    high: float


def ratio(timed: Measurement, baseline: Measurement) -> Ratio | None:
    """The time of `timed` as a multiple of `baseline`'s; None unless both were timed."""
    if timed.status != "done" or baseline.status != "done":
        return None
    return paired_ratio(timed.round_medians_ms, baseline.round_medians_ms)


def paired_ratio(timed_ms: Sequence[float], baseline_ms: Sequence[float]) -> Ratio | None:
    """The ratio from the medians of the same rounds; None if there are no rounds.

    Raises:
        ValueError: the two have different numbers of rounds.
    """
    pairs = list(zip(timed_ms, baseline_ms, strict=True))
    if not pairs:
        return None
    low, middle, high = np.percentile([mine / base for mine, base in pairs], PERCENTILES)
    return Ratio(float(middle), float(low), float(high))
