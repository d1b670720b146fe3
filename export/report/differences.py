"""How far the artifacts' outputs are from PyTorch's: the distribution, and the worst images.

In: probabilities float32 (N, K) of each artifact and its variant. Out: parts of the report, whose
size does not grow with the number of images or classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from export.report.disagreement import ArtifactAnswer, Bin, Differences, Percentiles, WorstImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.images.parity_images import ParityImages

    Probs = NDArray[np.float32]

SMALLEST: Final = -9  # differences below 10 to this power share one bin
PERCENTILES: Final = (50, 90, 99)
WORST: Final = 10
MOST_LABELS: Final = 6


@dataclass(frozen=True)
class Answered:
    """One artifact that was run.

    Attributes:
        artifact: its name, such as ``onnx fp32``.
        variant: what it was compared with, a key of the references.
        probs: float32 (N, K), its own.
        allowed: the largest difference that its tolerance allows.
    """

    artifact: str
    variant: str
    probs: Probs
    allowed: float


def differences(probs: Probs, reference: Probs) -> Differences | None:
    """The largest |Δp| of each image, as percentiles and a histogram in powers of ten.

    An image counts in the bin low <= |Δp| < high, and a difference of 1 in the last; images with an
    output that is not finite are counted separately. None: the shapes differ, so nothing can be
    compared.
    """
    if probs.shape != reference.shape:
        return None
    found = _largest(probs, reference)
    finite = found[np.isfinite(found)]
    upper = [10.0**k for k in range(SMALLEST, 0)]
    counts = np.bincount(np.searchsorted(upper, finite, side="right"), minlength=len(upper) + 1)
    filled = np.flatnonzero(counts).tolist()
    edges = [0.0, *upper, 1.0]
    p50, p90, p99 = (float(np.percentile(finite, q)) if len(finite) else None for q in PERCENTILES)
    bins = range(filled[0], filled[-1] + 1) if filled else ()
    return Differences(
        images=len(found),
        non_finite=len(found) - len(finite),
        percentiles=Percentiles(p50, p90, p99),
        histogram=tuple(Bin(edges[b], edges[b + 1], int(counts[b])) for b in bins),
    )


def worst_images(
    answered: Sequence[Answered],
    references: Mapping[str, Probs],
    images: ParityImages,
    labels: Sequence[str],
) -> list[WorstImage]:
    """The images on which any artifact uses the most of its tolerance, worst first.

    Of more than `MOST_LABELS` classes only the most probable ones of PyTorch in fp32 and those that
    differ most are shown. Names and probabilities only: no pixels.
    """
    answered = [a for a in answered if a.probs.shape == references[a.variant].shape]
    if not answered:
        return []
    apart = np.stack([_largest(a.probs, references[a.variant]) for a in answered])  # (A, N)
    allowed = np.array([a.allowed for a in answered])[:, None]
    shares = np.where(np.isfinite(apart), apart / np.maximum(allowed, 1e-300), np.inf)
    order = np.argsort(-shares.max(axis=0), kind="stable")[:WORST].tolist()
    variants = dict.fromkeys(a.variant for a in answered)
    found = []
    for i in order:
        shown = _shown(i, answered, references) if len(labels) > MOST_LABELS else range(len(labels))
        answers = [
            ArtifactAnswer(
                a.artifact, a.variant, _numbers(a.probs[i, list(shown)]), _number(apart[row, i])
            )
            for row, a in enumerate(answered)
        ]
        found.append(
            WorstImage(
                image=images.names[i],
                set=images.groups[i],
                label=labels[images.truth[i]] if i < len(images.truth) else None,
                artifact=answered[int(np.argmax(shares[:, i]))].artifact,
                share_of_allowed=_number(shares[:, i].max()),
                labels=tuple(labels[k] for k in shown),
                reference={
                    variant: _numbers(references[variant][i, list(shown)]) for variant in variants
                },
                answers=tuple(answers),
            )
        )
    return found


def _shown(i: int, answered: Sequence[Answered], references: Mapping[str, Probs]) -> list[int]:
    likely = np.argsort(-next(iter(references.values()))[i], kind="stable")[: MOST_LABELS // 2]
    apart = np.max([np.abs(a.probs[i] - references[a.variant][i]) for a in answered], axis=0)
    moved = np.argsort(-np.nan_to_num(apart, nan=np.inf), kind="stable")
    return sorted(list(dict.fromkeys([*likely.tolist(), *moved.tolist()]))[:MOST_LABELS])


def _largest(probs: Probs, reference: Probs) -> NDArray[np.float64]:
    """(N,): the largest |Δp| of each image, infinite where an output is not finite."""
    with np.errstate(invalid="ignore"):
        found = np.abs(probs.astype(np.float64) - reference).max(axis=1)
    return np.asarray(np.where(np.isfinite(probs).all(axis=1), found, np.inf))


def _numbers(values: NDArray[np.floating]) -> tuple[float | None, ...]:
    return tuple(map(_number, values))


def _number(value: np.floating) -> float | None:
    """A float32 has no more than nine digits."""
    return float(f"{float(value):.9g}") if np.isfinite(value) else None
