"""What training left next to a checkpoint, read back: its epochs, its validation outputs.

In: a checkpoint's folder. Out: rows and arrays; or None and the reason. A folder without them is
valid: a checkpoint that was adopted, or comes from elsewhere, has none.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.model_spec import ModelSpec

HISTORY_FILE: Final = "history.csv"
PREDICTIONS_FILE: Final = "predictions.csv"


@dataclass(frozen=True)
class ValidationAnswers:
    """The checkpoint's own outputs when it was trained.

    Attributes:
        truth: (N,) int64 classes.
        probs: float64 (N, K).
    """

    truth: NDArray[np.int64]
    probs: NDArray[np.float64]


def read_history(checkpoint: Path) -> tuple[list[dict[str, str | float | None]] | None, str]:
    """A row per epoch: `epoch`, `stage`, and numbers by name; NaN is None. Or None, and why."""
    rows, reason = _read(checkpoint / HISTORY_FILE, ("epoch", "stage"))
    if rows is None:
        return None, reason
    try:
        return [{name: _value(name, text) for name, text in row.items()} for row in rows], ""
    except ValueError as error:
        return None, f"{HISTORY_FILE} next to the checkpoint is damaged: {error}"


def read_predictions(checkpoint: Path, spec: ModelSpec) -> tuple[ValidationAnswers | None, str]:
    """Truth and probabilities of every validation image. Or None, and why."""
    rows, reason = _read(checkpoint / PREDICTIONS_FILE, ("label", *spec.labels))
    if rows is None:
        return None, reason
    try:
        truth = np.array([spec.labels.index(row["label"]) for row in rows], dtype=np.int64)
        probs = np.array([[float(row[label]) for label in spec.labels] for row in rows])
    except ValueError as error:
        return None, f"{PREDICTIONS_FILE} next to the checkpoint is damaged: {error}"
    if not np.isfinite(probs).all():
        return (
            None,
            f"{PREDICTIONS_FILE} next to the checkpoint holds something that is not a number",
        )
    return ValidationAnswers(truth, probs), ""


def _read(path: Path, needed: tuple[str, ...]) -> tuple[list[dict[str, str]] | None, str]:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, strict=True)
            rows, columns = list(reader), reader.fieldnames or ()
    except FileNotFoundError:
        return None, f"there is no {path.name} next to the checkpoint; `pipeline train` writes one"
    except (OSError, ValueError, csv.Error) as error:
        return None, f"{path.name} next to the checkpoint cannot be read: {error}"
    missing = [name for name in needed if name not in columns]
    if missing:
        return None, f"{path.name} next to the checkpoint has no column {missing[0]}"
    if not rows:
        return None, f"{path.name} next to the checkpoint is empty"
    if any(None in row or None in row.values() for row in rows):
        return (
            None,
            f"{path.name} next to the checkpoint is damaged: a row is too short or too long",
        )
    return rows, ""


def _value(name: str, text: str) -> str | float | None:
    if name == "stage":
        return text
    if name == "epoch":
        return int(text)
    value = float(text)
    return value if math.isfinite(value) else None
