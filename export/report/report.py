"""The report of an export or a check as an object, and report.json, read and written by one
function each.

report.schema.json describes the fields. A field that an earlier release's report lacks is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from export.formats.description import FileEntry, Port
from export.latency.entry import LatencyEntry
from export.parity.entries import (
    AccuracyEntry,
    IntervalEntry,
    ParityEntry,
    accuracy_json,
    parity_json,
)
from export.report.disagreement import Differences, WorstImage
from export.report.figures import Classification, Figures, Training
from export.report.robustness import RobustnessEntry, robustness_json
from pipeline.json_files import JsonObject, plain, read_json, structure, validate, write_json
from pipeline.resize.notation import read_resize
from pipeline.resize.rule import Resize, Size

SCHEMA: Final = 2
READABLE: Final = (1, SCHEMA)
SCHEMA_FILE: Final = Path(__file__).parent / "report.schema.json"
MAKE_ONE: Final = "make one: `python -m export all` writes build/export/report.json"
ADDED: Final = ("file", "differences", "classification")  # to each artifact, by schema 2


Verdict = Literal["pass", "accepted", "fail", "rejected", "not_run"]
VERDICTS: Final[tuple[Verdict, ...]] = ("pass", "accepted", "fail", "rejected", "not_run")


@dataclass(frozen=True)
class ModelFacts:
    """The model that all artifacts are made from.

    `data` says what it was trained on; `side` and `resize` how an image becomes its input
    (`pipeline.resize`).
    """

    name: str
    version: str
    checkpoint_sha256: str
    architecture: str = ""
    labels: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    side: Size | None = None
    resize: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float | IntervalEntry | None] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)
    intended_use: str | None = None

    @property
    def rule(self) -> Resize:
        """How an image becomes the input; earlier reports know squished ones alone.

        Raises:
            ValueError: the report does not say of which size the input is.
        """
        if self.side is None:
            raise ValueError("the side of its input")
        return read_resize(self.resize or {"mode": "squish"}, self.side)


@dataclass(frozen=True)
class PublishedFile:
    """What an app must know about a published file, as in the manifest."""

    path: str
    zipped_bytes: int | None
    files: tuple[FileEntry, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    requires: Mapping[str, str | int]
    session: Mapping[str, str | int]


@dataclass(frozen=True)
class Artifact:
    """One artifact in the report.

    Attributes:
        place: the platforms whose asset folder it is in; empty if in none.
        verdict: parity's, ``rejected`` if the quality gate kept it back, or ``accepted`` if it is
            published all the same, as was asked for.
        accuracy: None for fp32, or not checked.
        file: None: not published, or not known.
        differences, classification: None: not run, or not known.
    """

    format: str
    precision: str
    place: str
    size_bytes: int | None
    verdict: Verdict
    parity: ParityEntry
    accuracy: AccuracyEntry | None
    latency_ms: LatencyEntry | None
    file: PublishedFile | None
    differences: Differences | None
    classification: Figures | None

    @property
    def name(self) -> str:
        """Such as ``onnx fp32``."""
        return f"{self.format} {self.precision}"

    @property
    def allowed(self) -> float | None:
        """The largest |Δp| that its tolerance allows; None: it has none."""
        return self.parity.tolerance.max_abs_diff if self.parity.tolerance else None

    @property
    def reason(self) -> str:
        """Why it is not published, or was not run; empty if it passed."""
        if self.verdict in ("rejected", "accepted"):
            return "; ".join(self.accuracy.broken_limits) if self.accuracy else ""
        return self.parity.reason


@dataclass(frozen=True)
class Report:
    """A report; fields that only an export writes are None in the report of a check.

    Attributes:
        failed: whether any artifact failed.
        images: the images compared on, as a phrase.
        finished: time in UTC, ISO 8601.
        seconds: duration of the whole run.
        classification: of PyTorch.
        published: folders written.
        refused: format -> precision that it cannot take -> why.
        tools: versions.
        schema: of the file that it was read from.
    """

    command: str
    verdict: str
    failed: bool
    images: str
    artifacts: tuple[Artifact, ...]
    finished: str | None = None
    seconds: float | None = None
    model: ModelFacts | None = None
    classification: Classification | None = None
    worst_images: tuple[WorstImage, ...] | None = None
    training: Training | None = None
    published: tuple[str, ...] | None = None
    refused: Mapping[str, Mapping[str, str]] | None = None
    robustness: RobustnessEntry | None = None
    tools: Mapping[str, str] | None = None
    schema: int = SCHEMA


def read_report(path: Path) -> Report:
    """Read a report, of this release or of an earlier one.

    Raises:
        BadInput: no such file, not JSON, of another schema, or damaged.
    """
    document = read_json(path, what="report", way_out=MAKE_ONE, versions=READABLE)
    found = document["schema"]
    current = document if found == SCHEMA else _as_current(document)
    validate(current, SCHEMA_FILE, str(path), MAKE_ONE)
    return structure({**current, "schema": found}, Report, str(path), MAKE_ONE)


def write_report(path: Path, report: Report) -> None:
    """Write report.json. Raises BadInput if the place cannot be written."""
    write_json(path, report_json(report))


def report_json(report: Report) -> JsonObject:
    """As JSON holds it: unknown fields are left out, figures that are not finite are null."""
    document = {key: value for key, value in plain(report).items() if value is not None}
    document["artifacts"] = [
        {
            **plain(a),
            "parity": parity_json(a.parity),
            "accuracy": None if a.accuracy is None else accuracy_json(a.accuracy),
        }
        for a in report.artifacts
    ]
    if report.model is not None and not report.model.resize:
        document["model"].pop("resize", None)
    if report.robustness is not None:
        document["robustness"] = robustness_json(report.robustness)
    return {key: _finite(value) for key, value in document.items()}


def _as_current(document: JsonObject) -> JsonObject:
    """A document of schema 1 with null for what schema 2 adds to each artifact."""
    artifacts = document.get("artifacts")
    if isinstance(artifacts, list):
        empty = dict.fromkeys(ADDED)
        artifacts = [{**empty, **a} if isinstance(a, dict) else a for a in artifacts]
    added = {} if "artifacts" not in document else {"artifacts": artifacts}
    return {**document, **added, "schema": SCHEMA}


def _finite(value: object) -> object:
    """Replace NaN and infinity, which JSON lacks, by null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
