"""How far answers are from PyTorch's, image by image, as a report says it.

`export.report.differences` finds the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Bin:
    """Images with low <= |Δp| < high."""

    low: float
    high: float
    images: int


@dataclass(frozen=True)
class Percentiles:
    """Of |Δp| over the images; None: no answer is finite."""

    p50: float | None
    p90: float | None
    p99: float | None


@dataclass(frozen=True)
class Differences:
    """The largest |Δp| of each image; those that are not finite are counted apart."""

    images: int
    non_finite: int
    percentiles: Percentiles
    histogram: tuple[Bin, ...]


@dataclass(frozen=True)
class ArtifactAnswer:
    """What an artifact answers to an image; None: not finite.

    Attributes:
        twin: what it is compared with.
        probs: of the labels of the image's entry.
    """

    artifact: str
    twin: str
    probs: tuple[float | None, ...]
    max_abs_diff: float | None


@dataclass(frozen=True)
class WorstImage:
    """An image on which artifacts disagree with PyTorch.

    Attributes:
        image: its name.
        set: of the parity images.
        label: its own; None: not known.
        artifact: which disagrees the most.
        share_of_allowed: its |Δp| / what its tolerance allows; None: an answer is not finite.
        labels: those whose probabilities are given.
        reference: twin -> PyTorch's probabilities.
        answers: of every artifact that was run.
    """

    image: str
    set: str
    label: str | None
    artifact: str
    share_of_allowed: float | None
    labels: tuple[str, ...]
    reference: Mapping[str, tuple[float | None, ...]]
    answers: tuple[ArtifactAnswer, ...]
