"""What answers are worth where the labels are known: figures, ROC curve, reliability.

In: truth int (N,) and probabilities (N, K), of PyTorch or of an artifact alike. Out: a document for
the report, whose size does not grow with N or K.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.metrics.classification import (
    accuracy,
    auroc,
    decide,
    expected_calibration_error,
    recall,
    reliability,
)
from pipeline.metrics.roc import roc_curve
from pipeline.training.record import HISTORY_FILE, PREDICTIONS_FILE, read_history, read_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.parity.reference import References
    from pipeline.model_spec import ModelSpec

NO_LABELS: Final = "it needs labelled validation images: give them with --data"
MOST_EPOCHS: Final = 500


def classification(
    truth: NDArray[np.int64], probs: NDArray[np.floating], spec: ModelSpec
) -> dict[str, Any] | None:
    """Figures as in `pipeline.metrics`, of the first N of the answers; None: one is not finite.

    ROC and AUROC are of the positive class, without one the mean of each class against the rest;
    reliability and calibration error are of the most probable class (Guo et al., arXiv:1706.04599).
    """
    probs = probs[: len(truth)]
    if probs.shape != (len(truth), len(spec.labels)) or not np.isfinite(probs).all():
        return None
    positive = spec.positive_index
    decision = decide(probs, positive, spec.threshold)
    return {
        "images": len(truth),
        "accuracy": _number(accuracy(truth, decision)),
        "recall": _number(recall(truth, decision, positive)),
        "specificity": None if positive is None else _number(recall(truth, decision, 1 - positive)),
        "auroc": _number(auroc(truth, probs, positive)),
        "calibration_error": _number(expected_calibration_error(truth, probs)),
        "roc": [[round(x, 6), round(y, 6)] for x, y in roc_curve(truth, probs, positive).tolist()],
        "reliability": [asdict(b) for b in reliability(truth, probs)],
    }


def reference_classification(references: References) -> dict[str, Any]:
    """PyTorch's own, in fp32, on the validation images of this run; or not run, and why."""
    truth = np.array(references.images.truth, dtype=np.int64)
    if not len(truth):
        return {"status": "not_run", "reason": NO_LABELS, "figures": None}
    reference = references.of("fp32")
    figures = classification(truth, reference.probs, reference.spec)
    if figures is None:
        reason = "PyTorch's own answers are not finite"
        return {"status": "not_run", "reason": reason, "figures": None}
    return {"status": "done", "reason": "", "figures": figures}


def training_document(checkpoint: Path, spec: ModelSpec) -> dict[str, Any]:
    """Epochs and validation answers that training left beside the checkpoint; or why not.

    Of more than `MOST_EPOCHS` epochs as many, evenly spaced.
    """
    history, no_history = read_history(checkpoint)
    answers, no_answers = read_predictions(checkpoint, spec)
    epochs = history or []
    kept = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), MOST_EPOCHS)).round())
    return {
        "history": {
            "status": "not_run" if history is None else "done",
            "reason": no_history,
            "source": HISTORY_FILE,
            "epochs": len(epochs),
            "rows": [epochs[i] for i in kept.astype(int).tolist()] if epochs else [],
        },
        "validation": {
            "status": "not_run" if answers is None else "done",
            "reason": no_answers,
            "source": PREDICTIONS_FILE,
            "figures": None
            if answers is None
            else classification(answers.truth, answers.probs, spec),
        },
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
