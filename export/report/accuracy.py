"""What answers are worth where the labels are known: figures, ROC curve, reliability.

In: truth int (N,) and probabilities (N, K), of PyTorch or of an artifact alike. Out: parts of the
report, whose size does not grow with N or K.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from pipeline.metrics.classification import (
    ReliabilityBin,
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
    from pipeline.checkpoint import ModelSpec

NO_LABELS: Final = "it needs labelled validation images: give them with --data"
MOST_EPOCHS: Final = 500
Status = Literal["done", "not_run"]


@dataclass(frozen=True)
class Figures:
    """Figures on labelled images; None: there is no such figure for these labels.

    Attributes:
        roc: points (false positive rate, true positive rate).
        reliability: the bins that hold images.
    """

    images: int
    accuracy: float | None
    recall: float | None
    specificity: float | None
    auroc: float | None
    calibration_error: float | None
    roc: tuple[tuple[float, float], ...]
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class Classification:
    """PyTorch's own figures in fp32; or none, and why."""

    status: Status
    reason: str
    figures: Figures | None


@dataclass(frozen=True)
class Epoch:
    """A row of the history: what was trained, and figures by name."""

    number: int
    stage: str
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class History:
    """The training, epoch by epoch.

    Attributes:
        epochs: how many.
        rows: ``epoch``, ``stage`` and figures of each, or of `MOST_EPOCHS` of them.
    """

    status: Status
    reason: str
    source: str
    epochs: int
    rows: tuple[Mapping[str, int | float | str | None], ...]

    def shown(self) -> list[Epoch]:
        """The rows."""
        return [
            Epoch(
                number=int(row["epoch"] or 0),
                stage=str(row["stage"]),
                figures={
                    name: None if value is None else float(value)
                    for name, value in row.items()
                    if name not in ("epoch", "stage")
                },
            )
            for row in self.rows
        ]


@dataclass(frozen=True)
class Validation:
    """What the checkpoint's own answers were worth when it was trained."""

    status: Status
    reason: str
    source: str
    figures: Figures | None


@dataclass(frozen=True)
class Training:
    """What training left next to the checkpoint."""

    history: History
    validation: Validation


def classification(
    truth: NDArray[np.int64], probs: NDArray[np.floating], spec: ModelSpec
) -> Figures | None:
    """Figures as in `pipeline.metrics`, of the first N of the answers; None: one is not finite.

    ROC and AUROC are of the positive class, without one the mean of each class against the rest;
    reliability and calibration error are of the most probable class (Guo et al., arXiv:1706.04599).
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
        return Classification("not_run", "PyTorch's own answers are not finite", None)
    return Classification("done", "", figures)


def training_of(checkpoint: Path, spec: ModelSpec) -> Training:
    """Epochs and validation answers that training left beside the checkpoint; or why not.

    Of more than `MOST_EPOCHS` epochs as many, evenly spaced.
    """
    found, no_history = read_history(checkpoint)
    answers, no_answers = read_predictions(checkpoint, spec)
    epochs = found or []
    kept = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), MOST_EPOCHS)).round())
    history = History(
        status="not_run" if found is None else "done",
        reason=no_history,
        source=HISTORY_FILE,
        epochs=len(epochs),
        rows=tuple(epochs[i] for i in kept.astype(int).tolist()) if epochs else (),
    )
    if answers is None:
        return Training(history, Validation("not_run", no_answers, PREDICTIONS_FILE, None))
    figures = classification(answers.truth, answers.probs, spec)
    return Training(history, Validation("done", "", PREDICTIONS_FILE, figures))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
