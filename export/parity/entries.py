"""Parity and accuracy of one artifact, as manifest and report store them.

JSON has no NaN and no infinity: figures that are not finite are None, and `reason` says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from export.formats.description import Tolerance
from pipeline.json_files import JsonObject, plain


@dataclass(frozen=True)
class SetEntry:
    """How one set of images compares; see `export.parity.check.Agreement`."""

    images: int
    max_abs_diff: float | None
    mean_abs_diff: float | None
    label_flips: int | None


@dataclass(frozen=True)
class EvidenceEntry:
    """How evidence compares; see `export.parity.evidence.EvidenceAgreement`."""

    max_rel_diff: float | None
    shape: tuple[int, ...]
    worst_image: str


@dataclass(frozen=True)
class RoundingEntry:
    """Where a file differs by more than its tolerance, as PyTorch's own outputs do by rounding.

    Attributes:
        images: on which it does.
        max_abs_diff: how far any probability of PyTorch's own moves there.
        max_rel_diff: likewise its evidence.
    """

    images: int
    max_abs_diff: float
    max_rel_diff: float


@dataclass(frozen=True)
class ParityEntry:
    """The comparison with PyTorch holding the same weights; see `export.parity.check.ParityResult`.

    Figures are None where it was not run.
    """

    status: Literal["pass", "fail", "not_run"]
    reason: str
    images: int
    max_abs_diff: float | None
    mean_abs_diff: float | None
    label_flips: int | None
    how: str
    parts: Mapping[str, str]
    worst_image: str | None
    sets: Mapping[str, SetEntry]
    tolerance: Tolerance | None
    evidence: EvidenceEntry | None = None
    rounding: RoundingEntry | None = None  # documents of earlier releases have none


@dataclass(frozen=True)
class IntervalEntry:
    """A figure with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AccuracyEntry:
    """The comparison with the fp32 model; see `pipeline.metrics.paired_comparison.Comparison`.

    With ``parity`` as `source` there is no comparison, and documents have none of its figures.
    Documents of earlier releases lack the last ones.

    Attributes:
        undecided_limits: limits within a figure's interval, for too few images; None: none.
        accepted: whether it was published, as was asked for, although it breaks limits.
    """

    source: Literal["measured", "recorded", "parity"]
    broken_limits: tuple[str, ...]
    limits: Mapping[str, float] | None = None
    images: int | None = None
    auroc: float | None = None
    parent_auroc: float | None = None
    auroc_drop: IntervalEntry | None = None
    recall: float | None = None
    parent_recall: float | None = None
    label_flips: int | None = None
    lost: int | None = None
    gained: int | None = None
    mcnemar_p: float | None = None
    mean_abs_diff: float | None = None
    max_abs_diff: float | None = None
    recall_drop: IntervalEntry | None = None
    flips_at_threshold: int | None = None
    flip_rate: IntervalEntry | None = None
    undecided_limits: tuple[str, ...] | None = None
    accepted: bool | None = None


LATER: Final = (
    "recall_drop",
    "flips_at_threshold",
    "flip_rate",
    "undecided_limits",
    "accepted",
)


def accuracy_json(accuracy: AccuracyEntry) -> JsonObject:
    """The JSON form: all figures of a comparison, or none if there was none."""
    document = plain(accuracy)
    optional = document.keys() if accuracy.images is None else LATER
    return {k: value for k, value in document.items() if value is not None or k not in optional}


def parity_json(parity: ParityEntry) -> JsonObject:
    """The JSON form, without `rounding` where there is nothing to say."""
    document = plain(parity)
    if parity.rounding is None:
        document.pop("rounding", None)
    return document
