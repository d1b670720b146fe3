"""Results of the data sets: a row for each, written as JSON and read again.

In: the file of an earlier run. Out: `DataSets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from export.latency.machine import Machine
from pipeline.json_files import read_json, structure

SCHEMA: Final = 1
WAY_OUT: Final = "run the benchmark again"


@dataclass(frozen=True)
class FileVerdict:
    """One file: its verdict (`export.report.report.Verdict`), and why it is not published.

    Attributes:
        size_bytes: of the file or package; None: none was made.
        latency_ms: number of threads -> median of one inference; empty: not measured.
    """

    format: str
    precision: str
    verdict: str
    reason: str
    size_bytes: int | None = None
    latency_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CompressedRow:
    """One precision compared with fp32 on the validation images.

    Attributes:
        epochs: of fine-tuning.
        broken: limits that it breaks.
    """

    precision: str
    epochs: int
    images: int
    label_flips: int
    mean_abs_diff: float
    broken: tuple[str, ...]


@dataclass(frozen=True)
class DataSetRow:
    """What became of one data set.

    Attributes:
        train, valid: numbers of images.
        seconds: of each command that was run.
        stopped: the command that could not be served, and its last words; empty: none.
        figures: accuracy and calibration error of the model on the validation images.
        architecture: of the model; empty: the default of `train`.
    """

    name: str
    about: str
    labels: int
    train: int
    valid: int
    seconds: Mapping[str, float]
    stopped: str = ""
    figures: Mapping[str, float] | None = None
    compressed: tuple[CompressedRow, ...] = ()
    files: tuple[FileVerdict, ...] = ()
    architecture: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from other rows."""
        return self.architecture, self.name


@dataclass(frozen=True)
class DataSets:
    """All rows, and where and of what they were measured."""

    machine: Machine
    tools: Mapping[str, str]
    side: int
    rows: tuple[DataSetRow, ...]
    schema: int = SCHEMA


def read_datasets(path: Path) -> DataSets:
    """Read what an earlier run wrote. Raises BadInput: missing, damaged or of another version."""
    document = read_json(path, what="results", way_out=WAY_OUT, versions=(SCHEMA,))
    return structure(document, DataSets, str(path), WAY_OUT)
