"""Intervals of figures, by drawing the images again and again.

N images; a draw takes as many with replacement, whole groups (patients) at a time, because two
images of one patient are not independent (cluster bootstrap: Field & Welsh, J. R. Stat. Soc. B
2007). A draw is how often it has each image, so that a figure is computed for R draws at once:
`times`, int (R, N). Where a draw does not define a figure it is NaN there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Probs = NDArray[np.floating]
    Classes = NDArray[np.integer]
    Times = NDArray[np.integer]
    Figures = NDArray[np.float64]  # of each draw: (R,)

RESAMPLES: Final = 1000
SEED: Final = 2
MIDDLE: Final = (2.5, 97.5)  # percentiles
AT_ONCE: Final = 1 << 22  # numbers: memory must not grow with the images


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


def interval(value: float, draws: Figures) -> Interval:
    """A figure with the middle 95 % of its draws, as far as they are numbers."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = (float(q) for q in np.percentile(known, MIDDLE))
    return Interval(value, low, high)


def draw(
    images: int,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Times:
    """How often each draw has each image: int16 (R, N).

    Args:
        images: N.
        groups: (N,) an identifier per image; None: each image by itself.
        resamples: R.
        seed: of the draws.
    """
    names = np.arange(images) if groups is None else np.asarray(groups)
    _, members = np.unique(names, return_inverse=True)
    count = int(members.max()) + 1
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(count, size=count) for _ in range(resamples))
    times = [np.bincount(taken, minlength=count).astype(np.int16) for taken in drawn]
    return np.stack(times)[:, members]


def accuracies(truth: Classes, decision: Classes, times: Times) -> Figures:
    """Share of images that are given their own class, in each draw."""
    return _share(times[:, truth == decision], times)


def recalls(truth: Classes, decision: Classes, positive: int | None, times: Times) -> Figures:
    """Share of the positive images found, in each draw; without a positive class the mean."""
    found = []
    for c in np.unique(truth) if positive is None else [positive]:
        is_c = truth == c
        found.append(_share(times[:, is_c & (decision == c)], times[:, is_c]))
    return _mean_of_known(np.stack(found))


def aurocs(truth: Classes, probs: Probs, positive: int | None, times: Times) -> Figures:
    """Area under the ROC curve, in each draw; without a positive class the mean.

    By counting pairs of an image of the class and one of the rest, those with equal scores half
    (Hanley & McNeil, Radiology 1982): for all draws at once, in the order of the scores.
    """
    found = []
    for c in range(probs.shape[1]) if positive is None else [positive]:
        order = np.argsort(probs[:, c])
        scores, is_c = probs[order, c], (truth == c)[order]
        starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
        parts = [_areas(part[:, order], is_c, starts) for part in _parts(times)]
        found.append(np.concatenate(parts))
    return _mean_of_known(np.stack(found))


def mean_interval(
    values: NDArray[np.floating],
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Interval:
    """The mean of (N,) values with its interval; NaN are left out."""
    known = np.isfinite(values)
    if not known.any():
        return Interval(*(float("nan"),) * 3)
    names = np.arange(len(values)) if groups is None else np.asarray(groups)
    times = draw(int(known.sum()), list(names[known]), resamples, seed)
    return interval(float(values[known].mean()), times @ values[known] / times.sum(axis=1))


def _areas(times: Times, is_c: NDArray[np.bool_], starts: NDArray[np.int64]) -> Figures:
    """(R,) of R draws of images in the order of their scores; equal scores begin at `starts`."""
    of_c, rest = (
        np.add.reduceat(times * chosen, starts, axis=1, dtype=np.int64) for chosen in (is_c, ~is_c)
    )
    below = np.cumsum(rest, axis=1) - rest
    wins = (of_c * (below + rest / 2)).sum(axis=1)
    return _quotient(wins, of_c.sum(axis=1) * rest.sum(axis=1))


def _parts(times: Times) -> Iterator[Times]:
    draws = max(1, AT_ONCE // times.shape[1])
    for start in range(0, len(times), draws):
        yield times[start : start + draws]


def _share(some: Times, all_: Times) -> Figures:
    return _quotient(some.sum(axis=1), all_.sum(axis=1))


def _quotient(a: NDArray[np.number], b: NDArray[np.number]) -> Figures:
    return np.asarray(np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0))


def _mean_of_known(figures: Figures) -> Figures:
    """(C, R) -> (R,): the mean of those that are numbers; NaN where none is."""
    known = np.isfinite(figures)
    return _quotient(np.where(known, figures, 0.0).sum(axis=0), known.sum(axis=0))
