"""Is a compressed model as good as the one it came from? Both compared on the same images.

In: the classes of N validation images and both models' outputs. Out: `Comparison`, with intervals
that respect the pairing. A variant is compared with its parent when it is made, a file with the
fp32 model before it is published; `pipeline.metrics.quality_limits` judges both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.metrics.bootstrap import (
    RESAMPLES,
    SEED,
    Interval,
    aurocs,
    draw,
    interval,
    recalls,
)
from pipeline.metrics.classification import auroc, decide, odds_margin, recall

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Probs = NDArray[np.floating]
    Classes = NDArray[np.integer]


# Of the parent's decision, in logits (`pipeline.metrics.classification.odds_margin`): a flip of an
# image that the parent decided by less is counted apart. It is 0.01 of a probability of one half.
MARGIN: Final = 0.04


@dataclass(frozen=True)
class Comparison:
    """A model (or file) compared with the one it replaces.

    Attributes:
        images: N.
        auroc, parent_auroc, recall, parent_recall: of both.
        auroc_drop, recall_drop: parent's minus this one's, with the 95 % interval of the paired
            bootstrap; NaN where the images do not define it.
        label_flips: images decided differently.
        flips_at_threshold: those among them that the parent decided by less than `MARGIN`.
        flip_rate: share of the other flips, with its exact 95 % interval (Clopper & Pearson,
            Biometrika 1934), images taken as independent.
        lost, gained: images that only the parent, or only this one, decides correctly.
        mcnemar_p: of `lost` against `gained`, two-sided exact test (McNemar, Psychometrika 1947).
        mean_abs_diff, max_abs_diff: of any probability.
    """

    images: int
    auroc: float
    parent_auroc: float
    auroc_drop: Interval
    recall: float
    parent_recall: float
    recall_drop: Interval
    label_flips: int
    flips_at_threshold: int
    flip_rate: Interval
    lost: int
    gained: int
    mcnemar_p: float
    mean_abs_diff: float
    max_abs_diff: float


def compare_models(
    truth: Classes,
    probs: Probs,
    parent_probs: Probs,
    positive: int | None,
    threshold: float | None,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    margin: float = MARGIN,
) -> Comparison:
    """Compare on the same images; the same draws for both, whole `groups` (patients) at a time.

    Args:
        truth: (N,) classes.
        probs, parent_probs: (N, K).
        positive: index of the positive class, None for K > 2.
        threshold: see `pipeline.metrics.classification.decide`; one for both.
        groups: (N,) an identifier per image; None: each image by itself.
        resamples: bootstrap draws.
        seed: of the draws.
        margin: of the parent's decision, from which on a flip counts.
    """
    from scipy.stats import binomtest

    decision, parent = (decide(p, positive, threshold) for p in (probs, parent_probs))
    flipped = decision != parent
    near = flipped & (odds_margin(parent_probs, decision, positive, threshold) < margin)
    lost = int(np.sum((parent == truth) & (decision != truth)))
    gained = int(np.sum((parent != truth) & (decision == truth)))
    diff = np.abs(probs.astype(np.float64) - parent_probs).max(axis=1)
    areas = auroc(truth, probs, positive), auroc(truth, parent_probs, positive)
    times = draw(len(truth), groups, resamples, seed)
    drops = aurocs(truth, parent_probs, positive, times) - aurocs(truth, probs, positive, times)
    both = recall(truth, decision, positive), recall(truth, parent, positive)
    lost_recall = recalls(truth, parent, positive, times) - recalls(
        truth, decision, positive, times
    )
    return Comparison(
        images=len(truth),
        auroc=areas[0],
        parent_auroc=areas[1],
        auroc_drop=interval(areas[1] - areas[0], drops),
        recall=both[0],
        parent_recall=both[1],
        recall_drop=interval(both[1] - both[0], lost_recall),
        label_flips=int(flipped.sum()),
        flips_at_threshold=int(near.sum()),
        flip_rate=_share(int((flipped & ~near).sum()), len(truth)),
        lost=lost,
        gained=gained,
        mcnemar_p=float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0,
        mean_abs_diff=float(diff.mean()),
        max_abs_diff=float(diff.max()),
    )


def _share(count: int, images: int) -> Interval:
    """A share with its exact interval."""
    from scipy.stats import binomtest

    found = binomtest(count, images).proportion_ci(0.95, method="exact")
    return Interval(count / images, float(found.low), float(found.high))
