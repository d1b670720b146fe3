"""The quality gate: how much worse than the fp32 model may a reduced precision be?

In: a `Comparison` on validation images. Out: the limits that it breaks, those that so few images
cannot tell, and what can be done. The images are a sample, and a limit is of the model: it is
broken where the 95 % interval of a figure lies beyond it as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pipeline.metrics.bootstrap import Interval
    from pipeline.metrics.paired_comparison import Comparison


@dataclass(frozen=True)
class Limits:
    """How much worse a reduced precision may be and still be published.

    Attributes:
        auroc_drop: largest loss of AUROC.
        flip_rate: largest share of images decided differently, for better or worse.
        recall_drop: largest loss of recall.
        mcnemar_p: below it, more errors are not explained by chance.
    """

    auroc_drop: float = 0.005
    flip_rate: float = 0.02
    recall_drop: float = 0.025
    mcnemar_p: float = 0.05


LIMITS: Final = Limits()
EXACT: Final = 1e-9  # 40/40 - 39/40 is 0.025 and a bit
ROUNDED: Final = "fp16"  # needs no compressing


def broken_limits(comparison: Comparison, limits: Limits = LIMITS) -> list[str]:
    """Sentences, one for each limit that does not hold; empty: fit to be published.

    A limit is broken where the interval excludes it, or where a figure is lost that the parent has.
    """
    found = []
    drop, lost_recall = comparison.auroc_drop, comparison.recall_drop
    if _beyond(drop, limits.auroc_drop) or (
        np.isnan(comparison.auroc) and not np.isnan(comparison.parent_auroc)
    ):
        found.append(f"AUROC drops by {_told(drop)}, more than {limits.auroc_drop}")
    if _beyond(comparison.flip_rate, limits.flip_rate):
        found.append(f"{flips_told(comparison)}, more than {limits.flip_rate:.0%}")
    if _beyond(lost_recall, limits.recall_drop) or (
        np.isnan(comparison.recall) and not np.isnan(comparison.parent_recall)
    ):
        found.append(f"recall drops by {_told(lost_recall)}, more than {limits.recall_drop}")
    if comparison.lost > comparison.gained and comparison.mcnemar_p < limits.mcnemar_p:
        found.append(
            f"wrong on {comparison.lost} images that were right, right on {comparison.gained} that "
            f"were wrong: McNemar p {comparison.mcnemar_p:.3f} < {limits.mcnemar_p}"
        )
    return found


def undecided_limits(comparison: Comparison, limits: Limits = LIMITS) -> list[str]:
    """Sentences, one for each limit that lies within the interval: too few images to tell."""
    found = []
    if _within(comparison.auroc_drop, limits.auroc_drop):
        found.append(f"AUROC drops by {_told(comparison.auroc_drop)}, for {limits.auroc_drop}")
    if _within(comparison.flip_rate, limits.flip_rate):
        found.append(f"{flips_told(comparison)}, for {limits.flip_rate:.0%}")
    if _within(comparison.recall_drop, limits.recall_drop):
        found.append(f"recall drops by {_told(comparison.recall_drop)}, for {limits.recall_drop}")
    return found


def way_out(precision: str) -> str:
    """What can be done about a rejection, as the end of a sentence."""
    again = "" if precision == ROUNDED else f"compress to {precision} again with more --epochs, "
    return (
        f"{again}take another precision, or more validation images, which narrow the intervals; "
        f"`export all --accept {precision}` publishes it as it is, and says so"
    )


def images_that_tell(limits: Limits = LIMITS) -> int:
    """How many images without a flip show that fewer than the limit flip; 183 for 2 %."""
    return int(np.ceil(np.log(0.025) / np.log1p(-limits.flip_rate)))


def flips_told(comparison: Comparison) -> str:
    """How many labels flip, of how many, and what share of all images that can be."""
    rate, near = comparison.flip_rate, comparison.flips_at_threshold
    apart = f", {near} more at the threshold" if near else ""
    return (
        f"{comparison.label_flips - near} of {comparison.images} labels flip{apart} "
        f"(95 % interval {rate.low:.1%} to {rate.high:.1%})"
    )


def _beyond(figure: Interval, limit: float) -> bool:
    return figure.low > limit + EXACT and figure.value > limit + EXACT


def _within(figure: Interval, limit: float) -> bool:
    return figure.low <= limit + EXACT < figure.high - EXACT


def _told(figure: Interval) -> str:
    return f"{figure.value:.4f} (95 % interval {figure.low:.4f} to {figure.high:.4f})"
