"""The quality gate: is a file of reduced precision as good as the fp32 model?

Parity shows that a file agrees with its variant; this shows that the variant is good enough. On the
validation images the file's own outputs are compared with PyTorch's in fp32
(`pipeline.metrics.paired_comparison`). Without such images the figures recorded when the checkpoint
was compressed are used, and marked as recorded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from export.parity.entries import AccuracyEntry
from pipeline.json_files import JsonObject, structure
from pipeline.metrics.paired_comparison import LIMITS, broken_limits, compare_models

if TYPE_CHECKING:
    from export.parity.check import ParityResult
    from export.parity.reference import Reference
    from pipeline.model_spec import ModelSpec

FULL: Final = "fp32"
WAY_OUT: Final = "compress the checkpoint again"
LEAST_IMAGES: Final = 50  # with fewer, one flipped label exceeds the limit


@dataclass(frozen=True)
class GateResult:
    """What the gate found.

    Attributes:
        source: ``measured`` here, ``recorded`` when the checkpoint was compressed, or ``parity``:
            the file is within its tolerance of the fp32 model itself.
        figures: of the comparison, as in JSON; empty for ``parity``.
        broken: limits that are exceeded; empty if it passes.
    """

    source: str
    figures: JsonObject
    broken: tuple[str, ...] = ()

    def document(self) -> JsonObject:
        """The form in manifest and reports."""
        return {
            "source": self.source,
            **self.figures,
            "limits": asdict(LIMITS),
            "broken_limits": list(self.broken),
        }

    def entry(self) -> AccuracyEntry:
        """The same, typed. Raises BadInput if the record is damaged."""
        return structure(self.document(), AccuracyEntry, "a recorded comparison", WAY_OUT)


def judge_quality(
    precision: str, parity: ParityResult, variant: ModelSpec, baseline: Reference
) -> GateResult | None:
    """The gate's result; None for fp32, with which the others are compared.

    Args:
        precision: of the file.
        parity: of the file, with its probabilities.
        variant: spec of the checkpoint it was made from.
        baseline: the checkpoint in fp32, on the same images as `parity`.
    """
    if precision == FULL:
        return None
    images, spec = baseline.images, baseline.spec
    count = len(images.truth)
    truth = np.array(images.truth, dtype=np.int64)
    if parity.probs is not None and count >= LEAST_IMAGES and len(set(images.truth)) > 1:
        comparison = compare_models(
            truth,
            parity.probs[:count],
            baseline.probs[:count],
            spec.positive_index,
            spec.threshold,
            images.patients,
        )
        return GateResult("measured", asdict(comparison), tuple(broken_limits(comparison)))
    if variant.compression is None:
        return GateResult("parity", {})
    figures = dict(variant.compression.comparison)
    broken = tuple(figures.pop("broken_limits", ()))
    return GateResult("recorded", figures, broken)
