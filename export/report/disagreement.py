"""How far outputs are from PyTorch's, image by image, as in a report.

`export.report.differences` computes the figures.
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
    """Of |Δp| over the images; None: no output is finite."""

    p50: float | None
    p90: float | None
    p99: float | None


@dataclass(frozen=True)
class Differences:
    """The largest |Δp| of each image; those that are not finite are counted separately."""

    images: int
    non_finite: int
    percentiles: Percentiles
    histogram: tuple[Bin, ...]


@dataclass(frozen=True)
class ArtifactAnswer:
    """What an artifact outputs for an image; None: not finite.

    Attributes:
        twin: what it is compared with.
        probs: of the labels that the image's entry lists.
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
        label: the true one; None: not known.
        artifact: the one that disagrees most.
        share_of_allowed: its |Δp| / what its tolerance allows; None: an output is not finite.
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
