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

from pipeline.metrics.classification import Interval, auroc, decide, odds_margin, recall

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
    resamples: int = 1000,
    seed: int = 2,
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
    rng = np.random.default_rng(seed)
    names = np.arange(len(truth)) if groups is None else np.asarray(groups)
    _, members = np.unique(names, return_inverse=True)
    group_count = int(members.max()) + 1
    # How often each image is drawn, (resamples, N): small numbers, for there may be many images.
    times = np.stack(
        [
            np.bincount(draw, minlength=group_count).astype(np.int16)
            for draw in rng.integers(group_count, size=(resamples, group_count))
        ]
    )[:, members]
    drops = _aurocs(truth, parent_probs, positive, times) - _aurocs(truth, probs, positive, times)
    recalls = recall(truth, decision, positive), recall(truth, parent, positive)
    lost_recall = _recalls(truth, parent, positive, times) - _recalls(
        truth, decision, positive, times
    )
    return Comparison(
        images=len(truth),
        auroc=areas[0],
        parent_auroc=areas[1],
        auroc_drop=_interval(areas[1] - areas[0], drops),
        recall=recalls[0],
        parent_recall=recalls[1],
        recall_drop=_interval(recalls[1] - recalls[0], lost_recall),
        label_flips=int(flipped.sum()),
        flips_at_threshold=int(near.sum()),
        flip_rate=_share(int((flipped & ~near).sum()), len(truth)),
        lost=lost,
        gained=gained,
        mcnemar_p=float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0,
        mean_abs_diff=float(diff.mean()),
        max_abs_diff=float(diff.max()),
    )


def _aurocs(
    truth: Classes, probs: Probs, positive: int | None, times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """`auroc` of each draw, `times` (R, N) being how often it has each image.

    By counting pairs, which is done for all draws at once; NaN where a draw lacks a side.
    """
    areas = []
    for c in range(probs.shape[1]) if positive is None else [positive]:
        is_c = truth == c
        scores = probs[:, c].astype(np.float64)
        above = np.heaviside(scores[is_c][:, None] - scores[~is_c][None], 0.5)  # a tie: one half
        wins = ((times[:, is_c] @ above) * times[:, ~is_c]).sum(axis=1)
        pairs = times[:, is_c].sum(axis=1) * times[:, ~is_c].sum(axis=1)
        areas.append(np.divide(wins, pairs, out=np.full(len(wins), np.nan), where=pairs > 0))
    return _mean_of_known(np.stack(areas))


def _recalls(
    truth: Classes, decision: Classes, positive: int | None, times: NDArray[np.integer]
) -> NDArray[np.float64]:
    """`recall` of each draw; NaN where it has none of the positive images."""
    found = []
    for c in np.unique(truth) if positive is None else [positive]:
        is_c = truth == c
        images = times[:, is_c].sum(axis=1)
        hits = times[:, is_c & (decision == c)].sum(axis=1)
        found.append(np.divide(hits, images, out=np.full(len(hits), np.nan), where=images > 0))
    return _mean_of_known(np.stack(found))


def _mean_of_known(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, R) -> (R,): the mean of those that are numbers; NaN where none is."""
    known = np.isfinite(figures)
    total = np.where(known, figures, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def _interval(value: float, draws: NDArray[np.float64]) -> Interval:
    """A figure with the middle 95 % of its draws, as far as they are numbers."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = (float(q) for q in np.percentile(known, [2.5, 97.5]))
    return Interval(value, low, high)


def _share(count: int, images: int) -> Interval:
    """A share with its exact interval."""
    from scipy.stats import binomtest

    found = binomtest(count, images).proportion_ci(0.95, method="exact")
    return Interval(count / images, float(found.low), float(found.high))
