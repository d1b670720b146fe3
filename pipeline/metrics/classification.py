"""Labels and scores in, figures of merit out, for the model and for every artifact.

N images, K classes, probs float (N, K), truth int (N,) in 0..K-1. With two classes and a positive
label the figures refer to that label; with more they are macro averages over the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics.bootstrap import (
    RESAMPLES,
    SEED,
    Interval,
    accuracies,
    aurocs,
    draw,
    interval,
    recalls,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Probs = NDArray[np.floating]
    Classes = NDArray[np.integer]


def decide(probs: Probs, positive: int | None, threshold: float | None) -> NDArray[np.int64]:
    """The class that each row is given: int64 (N,).

    With a threshold (two classes): `positive` where its probability reaches the threshold, the
    other class elsewhere. Without: the most probable class, the first one on a tie.
    """
    if positive is None or threshold is None:
        return np.asarray(np.argmax(probs, axis=1), dtype=np.int64)
    reaches: NDArray[np.bool_] = probs[:, positive] >= threshold
    return np.where(reaches, np.int64(positive), np.int64(1 - positive))


def boundary_distance(
    probs: Probs, other: Classes, positive: int | None, threshold: float | None
) -> NDArray[np.float64]:
    """How much each row's probabilities must change for it to be decided as `other`: (N,).

    With a threshold it is how far the positive class's probability is from it; without, half of
    what separates the probabilities of `other` and of the row's own class.
    """
    rows, known = np.arange(len(probs)), probs.astype(np.float64)
    if positive is None or threshold is None:
        return np.asarray((known.max(axis=1) - known[rows, other]) / 2)
    return np.asarray(np.abs(known[:, positive] - threshold))


def odds_margin(
    probs: Probs, other: Classes, positive: int | None, threshold: float | None
) -> NDArray[np.float64]:
    """How far each row is from being decided as `other` (N,), in logits: (N,), at least 0.

    With a threshold t it is how far the logit of the positive class's probability is from t's;
    without, half of what separates the logits of `other` and of the row's own class. So it is the
    same for 2 classes and for 120, whose probabilities are all small: a distance of 0.04 is 0.01 of
    a probability of one half, and 0.0004 of one of 0.01.
    """
    rows = np.arange(len(probs))
    known = np.clip(probs.astype(np.float64), 1e-12, 1.0)
    if positive is None or threshold is None:
        own = known[rows, decide(probs, positive, threshold)]
        return np.asarray(np.log(own / known[rows, other]) / 2)
    p = np.clip(known[:, positive], None, 1 - 1e-12)
    return np.asarray(np.abs(np.log(p / (1 - p)) - np.log(threshold / (1 - threshold))))


def accuracy(truth: Classes, decision: Classes) -> float:
    """Share of images that are given their own class."""
    return float(np.mean(truth == decision))


def recall(truth: Classes, decision: Classes, positive: int | None = None) -> float:
    """Share of the positive images found; without a positive class the mean over all classes."""
    classes = np.unique(truth) if positive is None else np.array([positive])
    found = [np.mean(decision[truth == c] == c) for c in classes if np.any(truth == c)]
    return float(np.mean(found)) if found else float("nan")


def auroc(truth: Classes, probs: Probs, positive: int | None = None) -> float:
    """Area under the ROC curve; without a positive class the mean of one class against the rest.

    The rank-sum form (Hanley & McNeil, Radiology 1982); ties count one half, an empty side is NaN.
    """
    from scipy.stats import rankdata

    areas = []
    for c in range(probs.shape[1]) if positive is None else [positive]:
        is_c = truth == c
        n_c, n_rest = int(is_c.sum()), int((~is_c).sum())
        if n_c and n_rest:
            ranks = rankdata(probs[:, c])
            areas.append((ranks[is_c].sum() - n_c * (n_c + 1) / 2) / (n_c * n_rest))
    return float(np.mean(areas)) if areas else float("nan")


def expected_calibration_error(
    truth: Classes, probs: Probs, positive: int | None = None, bins: int = 10
) -> float:
    """How far stated probabilities are from observed shares, in 0..1; no images: NaN.

    Images are sorted into `bins` of equal width by a probability p. In each bin the mean of p is
    compared with the share of images in which the event occurred, and the absolute gaps are
    averaged, weighted by the images in the bin (Guo et al., arXiv:1706.04599, equation 3). A bin
    includes its upper edge and not its lower one, as there; p = 0 is in the first.

    Args:
        truth: (N,) classes.
        probs: (N, K).
        positive: None: p is of the most probable class (the first on a tie), the event that it is
            the true one. A class: p is of that class, the event that the image is of it.
        bins: how many.
    """
    if not len(truth):
        return float("nan")
    stated, happened, bin_of = _binned(truth, probs, positive, bins)
    # In each bin: images x |share - mean p| = |sum of events - sum of p|.
    excess = np.bincount(bin_of, weights=happened - stated, minlength=bins)
    return float(np.abs(excess).sum() / len(truth))


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose stated probability lies in (low, high].

    Attributes:
        images: how many; at least one.
        mean_prob: mean of the stated probabilities.
        share: of the images in which the event occurred.
    """

    low: float
    high: float
    images: int
    mean_prob: float
    share: float


def reliability(
    truth: Classes, probs: Probs, positive: int | None = None, bins: int = 10
) -> list[ReliabilityBin]:
    """The reliability diagram: the bins of `expected_calibration_error` that hold images.

    (Guo et al., arXiv:1706.04599, figure 1.) Arguments as there.
    """
    stated, happened, bin_of = _binned(truth, probs, positive, bins)
    images = np.bincount(bin_of, minlength=bins)
    sums = np.bincount(bin_of, weights=stated, minlength=bins)
    events = np.bincount(bin_of, weights=happened, minlength=bins)
    return [
        ReliabilityBin(
            low=b / bins,
            high=(b + 1) / bins,
            images=int(images[b]),
            mean_prob=float(sums[b] / images[b]),
            share=float(events[b] / images[b]),
        )
        for b in np.flatnonzero(images).tolist()
    ]


def _binned(
    truth: Classes, probs: Probs, positive: int | None, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """(N,) each: the stated probability, whether the event occurred, and the bin."""
    if positive is None:
        stated = probs.max(axis=1).astype(np.float64)
        happened = probs.argmax(axis=1) == truth
    else:
        stated, happened = probs[:, positive].astype(np.float64), truth == positive
    upper_edges = np.arange(1, bins) / bins  # of all bins but the last
    return stated, happened, np.searchsorted(upper_edges, stated, side="left")


def youden_threshold(truth: Classes, probs: Probs, positive: int) -> float:
    """The threshold with the largest sensitivity + specificity - 1 (Youden, Cancer 1950).

    Between two neighbouring scores all thresholds decide alike: the middle is taken, the furthest
    from both. Of several equally good thresholds the lowest is taken, for its recall.
    """
    scores, candidates = _thresholds(probs, positive)
    if not len(candidates):
        return 0.5
    is_positive = truth == positive
    youden = [
        np.mean(scores[is_positive] >= t) - np.mean(scores[~is_positive] >= t) for t in candidates
    ]
    return float(np.clip(candidates[int(np.argmax(youden))], 0.01, 0.99))


def recall_threshold(truth: Classes, probs: Probs, positive: int, least: float) -> float:
    """The highest threshold that still finds the share `least` of the positive images.

    It lies in the middle between two neighbouring scores, as in `youden_threshold`.
    """
    scores, candidates = _thresholds(probs, positive)
    is_positive = truth == positive
    reaching = [t for t in candidates if np.mean(scores[is_positive] >= t) >= least]
    return float(np.clip(max(reaching, default=0.01), 0.01, 0.99))


def _thresholds(probs: Probs, positive: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores of the positive class, and the middles between neighbouring ones, ascending."""
    scores = probs[:, positive].astype(np.float64)
    edges = np.unique(scores)
    return scores, (edges[1:] + edges[:-1]) / 2


def evaluate(
    truth: Classes,
    probs: Probs,
    positive: int | None,
    threshold: float | None,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Interval]:
    """Accuracy, recall, specificity (two classes) and AUROC with bootstrap intervals.

    Intervals are 2.5 and 97.5 percentiles over `resamples` draws (`pipeline.metrics.bootstrap`).

    Args:
        truth: (N,) classes.
        probs: (N, K).
        positive: index of the positive class, None for K > 2.
        threshold: see `decide`.
        groups: (N,) an identifier per image.
        resamples: bootstrap draws.
        seed: of the draws.
    """
    decision = decide(probs, positive, threshold)
    times = draw(len(truth), groups, resamples, seed)
    figures = {
        "accuracy": interval(accuracy(truth, decision), accuracies(truth, decision, times)),
        "recall": interval(
            recall(truth, decision, positive), recalls(truth, decision, positive, times)
        ),
        "auroc": interval(auroc(truth, probs, positive), aurocs(truth, probs, positive, times)),
    }
    if positive is not None:
        other = 1 - positive
        figures["specificity"] = interval(
            recall(truth, decision, other), recalls(truth, decision, other, times)
        )
    return figures
