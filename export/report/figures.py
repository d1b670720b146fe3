"""Accuracy figures, of PyTorch or of an artifact, and what training left, as in a report.

`export.report.accuracy` computes the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.metrics.calibration import Calibration
from pipeline.metrics.classification import ReliabilityBin

Status = Literal["done", "not_run"]


@dataclass(frozen=True)
class Figures:
    """Figures on labelled images; None: not defined for these labels.

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
class HistoryRow:
    """A row of the history: its stage, and figures by name."""

    number: int
    stage: str
    figures: Mapping[str, float | None]


@dataclass(frozen=True)
class History:
    """The training, epoch by epoch.

    Attributes:
        epochs: how many.
        rows: ``epoch``, ``stage`` and figures of each; of very many, some evenly spaced ones.
    """

    status: Status
    reason: str
    source: str
    epochs: int
    rows: tuple[Mapping[str, int | float | str | None], ...]

    def shown(self) -> list[HistoryRow]:
        """The rows."""
        return [
            HistoryRow(
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
    """The accuracy of the checkpoint's own outputs when it was trained."""

    status: Status
    reason: str
    source: str
    figures: Figures | None


@dataclass(frozen=True)
class Training:
    """What training left next to the checkpoint, and how it calibrated; None: not recorded."""

    history: History
    validation: Validation
    calibration: Calibration | None = None
