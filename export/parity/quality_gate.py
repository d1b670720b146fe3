"""The quality gate: is a file of reduced precision as good as the fp32 model?

Parity shows that a file computes what PyTorch does with the same weights: that the file is right.
This shows whether the model in that precision is good enough. On labelled validation images the
file's own outputs are compared with PyTorch's in fp32 (`pipeline.metrics.paired_comparison`); drawn
images never count. With few of them, the figures recorded when the checkpoint was compressed are
used, and marked as recorded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from export.parity.entries import AccuracyEntry
from pipeline.json_files import JsonObject, structure
from pipeline.metrics.paired_comparison import compare_models
from pipeline.metrics.quality_limits import LIMITS, broken_limits, undecided_limits

if TYPE_CHECKING:
    from export.parity.check import ParityResult
    from export.parity.reference import Reference
    from pipeline.model_spec import ModelSpec

FULL: Final = "fp32"
WAY_OUT: Final = "compress the checkpoint again"
LEAST_IMAGES: Final = 50  # with fewer, a record tells more: it is of all validation images
NO_IMAGES: Final = "no labelled validation images (--data) to compare with fp32 on"


@dataclass(frozen=True)
class GateResult:
    """What the gate found.

    Attributes:
        source: ``measured`` here, ``recorded`` when the checkpoint was compressed, or ``parity``:
            neither; the file is known to hold fp32's own weights, rounded to fp16.
        figures: of the comparison, as in JSON; empty for ``parity``.
        broken: limits that are exceeded; empty if it passes.
        undecided: limits that so few images cannot tell.
        accepted: whether it is published although it breaks limits, as was asked for.
    """

    source: str
    figures: JsonObject
    broken: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    accepted: bool = False

    @property
    def keeps_back(self) -> bool:
        """Whether the file must not be published."""
        return bool(self.broken) and not self.accepted

    def document(self) -> JsonObject:
        """The form in manifest and reports."""
        return {
            "source": self.source,
            **self.figures,
            "limits": asdict(LIMITS),
            "broken_limits": list(self.broken),
            **({"undecided_limits": list(self.undecided)} if self.undecided else {}),
            **({"accepted": True} if self.accepted else {}),
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
    record = variant.compression
    enough = count >= (LEAST_IMAGES if record is not None else 1) and len(set(images.truth)) > 1
    if parity.probs is not None and enough:
        comparison = compare_models(
            np.array(images.truth, dtype=np.int64),
            parity.probs[:count],
            baseline.probs[:count],
            spec.positive_index,
            spec.threshold,
            images.patients,
        )
        return GateResult(
            "measured",
            asdict(comparison),
            tuple(broken_limits(comparison)),
            tuple(undecided_limits(comparison)),
        )
    if record is None:
        return GateResult("parity", {}, undecided=(NO_IMAGES,))
    figures = dict(record.comparison)
    broken, undecided = (
        tuple(figures.pop(name, ())) for name in ("broken_limits", "undecided_limits")
    )
    return GateResult("recorded", figures, broken, undecided)
