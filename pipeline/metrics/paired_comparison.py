"""Is a compressed model as good as the one it came from? The quality gate, on the same images.

In: the classes of N validation images and both models' outputs. Out: `Comparison`, with intervals
that respect the pairing, and the limits it breaks. A variant is compared with its parent when it is
made, a file with the fp32 model before it is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.metrics.classification import Interval, auroc, decide, recall

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Probs = NDArray[np.floating]
    Classes = NDArray[np.integer]


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


@dataclass(frozen=True)
class Comparison:
    """A model (or file) compared with the one it replaces.

    Attributes:
        images: N.
        auroc, parent_auroc, recall, parent_recall: of both.
        auroc_drop: parent's minus this one's, with the 95 % interval of the paired bootstrap.
        label_flips: images decided differently.
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
    label_flips: int
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
    """
    from scipy.stats import binomtest

    decision, parent = (decide(p, positive, threshold) for p in (probs, parent_probs))
    lost = int(np.sum((parent == truth) & (decision != truth)))
    gained = int(np.sum((parent != truth) & (decision == truth)))
    diff = np.abs(probs.astype(np.float64) - parent_probs).max(axis=1)
    areas = auroc(truth, probs, positive), auroc(truth, parent_probs, positive)
    rng = np.random.default_rng(seed)
    names = np.arange(len(truth)) if groups is None else np.asarray(groups)
    _, members = np.unique(names, return_inverse=True)
    group_count = int(members.max()) + 1
    draws = rng.integers(group_count, size=(resamples, group_count))
    # How often each image is drawn: (resamples, N).
    times = np.stack([np.bincount(draw, minlength=group_count) for draw in draws])[:, members]
    drops = _aurocs(truth, parent_probs, positive, times) - _aurocs(truth, probs, positive, times)
    low, high = (float(q) for q in np.nanpercentile(drops, [2.5, 97.5]))
    return Comparison(
        images=len(truth),
        auroc=areas[0],
        parent_auroc=areas[1],
        auroc_drop=Interval(areas[1] - areas[0], low, high),
        recall=recall(truth, decision, positive),
        parent_recall=recall(truth, parent, positive),
        label_flips=int(np.sum(decision != parent)),
        lost=lost,
        gained=gained,
        mcnemar_p=float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0,
        mean_abs_diff=float(diff.mean()),
        max_abs_diff=float(diff.max()),
    )


def _aurocs(
    truth: Classes, probs: Probs, positive: int | None, times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """`auroc` of each draw, `times` (R, N) being how often it has each image.

    By counting pairs, which is done for all draws at once; NaN where a draw lacks a side.
    """
    areas = []
    for c in range(probs.shape[1]) if positive is None else [positive]:
        is_c = truth == c
        scores = probs[:, c].astype(np.float64)
        above = scores[is_c][:, None] - scores[~is_c][None]
        wins = ((times[:, is_c] @ (np.sign(above) / 2 + 0.5)) * times[:, ~is_c]).sum(axis=1)
        pairs = times[:, is_c].sum(axis=1) * times[:, ~is_c].sum(axis=1)
        areas.append(np.divide(wins, pairs, out=np.full(len(wins), np.nan), where=pairs > 0))
    found = np.stack(areas)
    known = np.isfinite(found)
    total = np.where(known, found, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def broken_limits(comparison: Comparison, limits: Limits = LIMITS) -> list[str]:
    """Sentences, one for each limit that does not hold; empty: fit to be published.

    The limits are on the figures themselves; with few images an interval is wider than any of them.
    """
    found = []
    drop = comparison.auroc_drop
    if not drop.value <= limits.auroc_drop + EXACT:
        found.append(
            f"AUROC drops by {drop.value:.4f} ({drop.low:.4f} to {drop.high:.4f}), "
            f"more than {limits.auroc_drop}"
        )
    if comparison.label_flips > limits.flip_rate * comparison.images + EXACT:
        found.append(
            f"{comparison.label_flips} of {comparison.images} labels flip, "
            f"more than {limits.flip_rate:.0%}"
        )
    lost_recall = comparison.parent_recall - comparison.recall
    if not lost_recall <= limits.recall_drop + EXACT:
        found.append(f"recall drops by {lost_recall:.4f}, more than {limits.recall_drop}")
    if comparison.lost > comparison.gained and comparison.mcnemar_p < limits.mcnemar_p:
        found.append(
            f"wrong on {comparison.lost} images that were right, right on {comparison.gained} that "
            f"were wrong: McNemar p {comparison.mcnemar_p:.3f} < {limits.mcnemar_p}"
        )
    return found
