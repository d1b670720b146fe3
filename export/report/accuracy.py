"""Accuracy of outputs on labelled images: figures, ROC curve, reliability.

In: truth int (N,) and probabilities (N, K), of PyTorch or of an artifact. Out: parts of the
report, whose size does not grow with N or K.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from export.report.figures import Classification, Figures
from pipeline.metrics.classification import (
    accuracy,
    auroc,
    decide,
    expected_calibration_error,
    recall,
    reliability,
)
from pipeline.metrics.roc import roc_curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.parity.reference import References
    from pipeline.model_spec import ModelSpec

NO_LABELS: Final = "it needs labelled validation images: give them with --data"


def classification(
    truth: NDArray[np.int64], probs: NDArray[np.floating], spec: ModelSpec
) -> Figures | None:
    """Figures as in `pipeline.metrics`, of the first N outputs; None: one is not finite.

    ROC and AUROC are of the positive class, or without one the mean over each class against the
    rest; reliability and calibration error are of the most probable class (Guo et al.,
    arXiv:1706.04599).
    """
    probs = probs[: len(truth)]
    if probs.shape != (len(truth), len(spec.labels)) or not np.isfinite(probs).all():
        return None
    positive = spec.positive_index
    decision = decide(probs, positive, spec.threshold)
    curve = roc_curve(truth, probs, positive).tolist()
    specificity = None if positive is None else _number(recall(truth, decision, 1 - positive))
    return Figures(
        images=len(truth),
        accuracy=_number(accuracy(truth, decision)),
        recall=_number(recall(truth, decision, positive)),
        specificity=specificity,
        auroc=_number(auroc(truth, probs, positive)),
        calibration_error=_number(expected_calibration_error(truth, probs)),
        roc=tuple((round(x, 6), round(y, 6)) for x, y in curve),
        reliability=tuple(reliability(truth, probs)),
    )


def reference_classification(references: References) -> Classification:
    """PyTorch's own, in fp32, on the validation images of this run; or not run, and why."""
    truth = np.array(references.images.truth, dtype=np.int64)
    if not len(truth):
        return Classification("not_run", NO_LABELS, None)
    reference = references.of("fp32")
    figures = classification(truth, reference.probs, reference.spec)
    if figures is None:
        return Classification("not_run", "PyTorch's own outputs are not finite", None)
    return Classification("done", "", figures)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
