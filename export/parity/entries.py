"""Parity and accuracy of one artifact as manifest and report hold them.

JSON has no NaN and no infinity: figures that are not finite are None, and `reason` says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from export.formats.base import Tolerance
from pipeline.json_files import JsonObject, plain

if TYPE_CHECKING:
    from export.parity.check import Agreement, ParityResult
    from export.parity.evidence import EvidenceAgreement


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


@dataclass(frozen=True)
class IntervalEntry:
    """A figure with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class AccuracyEntry:
    """The comparison with the fp32 model; see `pipeline.metrics.paired_comparison.Comparison`.

    With ``parity`` as `source` there is no comparison, and its figures do not stand in a document.
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


def parity_entry(parity: ParityResult) -> ParityEntry:
    """A verdict as it stands in documents."""
    return ParityEntry(
        status=parity.status,
        reason=parity.reason,
        images=parity.images,
        max_abs_diff=_finite(parity.max_abs_diff),
        mean_abs_diff=_finite(parity.mean_abs_diff),
        label_flips=parity.label_flips,
        how=parity.how,
        parts=parity.parts,
        worst_image=parity.worst_image,
        sets={name: _set(agreement) for name, agreement in parity.sets.items()},
        tolerance=parity.tolerance,
        evidence=None if parity.evidence is None else _evidence(parity.evidence),
    )


def accuracy_json(accuracy: AccuracyEntry) -> JsonObject:
    """As JSON holds it: without a comparison none of its figures, else all of them."""
    document = plain(accuracy)
    if accuracy.images is None:
        return {key: value for key, value in document.items() if value is not None}
    return document


def _set(found: Agreement) -> SetEntry:
    diffs = _finite(found.max_abs_diff), _finite(found.mean_abs_diff)
    return SetEntry(found.images, *diffs, found.label_flips)


def _evidence(found: EvidenceAgreement) -> EvidenceEntry:
    return EvidenceEntry(_finite(found.max_rel_diff), found.shape, found.worst_image)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
