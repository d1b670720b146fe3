"""The ROC curve as a few points: true positive rate by false positive rate.

N images, K classes, probs float (N, K), truth int (N,). The area below is
`pipeline.metrics.classification.auroc`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.metrics.classification import Classes, Probs

MOST_POINTS: Final = 101


def roc_curve(
    truth: Classes, probs: Probs, positive: int | None = None, most: int = MOST_POINTS
) -> NDArray[np.float64]:
    """Points from (0, 0) to (1, 1): float64 (P, 2), false positive rate and true positive rate.

    Points on a straight line between others are left out; of more than `most` that stay, as many,
    evenly spaced along the curve. Without a positive class it is the mean of the curves of one
    class against the rest, at evenly spaced false positive rates (macro average; Fawcett, Pattern
    Recognition Letters 2006). Empty where no class has images on both sides.
    """
    curves = []
    for c in range(probs.shape[1]) if positive is None else [positive]:
        is_c = truth == c
        if is_c.any() and not is_c.all():
            curves.append(_one_against_rest(is_c, probs[:, c]))
    if not curves:
        return np.empty((0, 2))
    if positive is not None:
        return _thinned(curves[0], most)
    rates = np.linspace(0, 1, most - 1)
    found = np.mean([_read_off(curve, rates) for curve in curves], axis=0)
    return np.concatenate([[[0.0, 0.0]], np.stack([rates, found], axis=1)])


def _one_against_rest(is_c: NDArray[np.bool_], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """All corners of one curve; equal scores are one step, which is a slope."""
    order = np.argsort(-scores, kind="stable")
    last_of_equals = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(is_c[order])[last_of_equals]
    misses = np.cumsum(~is_c[order])[last_of_equals]
    points = np.zeros((len(hits) + 1, 2), dtype=np.int64)
    points[1:] = np.stack([misses, hits], axis=1)
    steps = np.diff(points, axis=0)
    turns = steps[:-1, 0] * steps[1:, 1] != steps[:-1, 1] * steps[1:, 0]
    return np.asarray(points[np.concatenate([[True], turns, [True]])] / points[-1])


def _thinned(curve: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    if len(curve) <= most:
        return curve
    lengths = np.abs(np.diff(curve, axis=0)).sum(axis=1)  # of both rates: 2 in all
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    nearest = np.searchsorted(along, np.linspace(0, along[-1], most))
    return np.asarray(curve[np.unique(np.minimum(nearest, len(curve) - 1))])


def _read_off(curve: NDArray[np.float64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """True positive rates at false positive `rates`; where the curve is upright, the upper end."""
    left = np.minimum(np.searchsorted(curve[:, 0], rates, side="right") - 1, len(curve) - 2)
    (x0, y0), (x1, y1) = curve[left].T, curve[left + 1].T
    width = np.where(x1 > x0, x1 - x0, 1.0)
    return np.asarray(np.where(x1 > x0, y0 + (y1 - y0) * (rates - x0) / width, y1))
