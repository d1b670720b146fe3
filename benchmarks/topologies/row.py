"""What a run leaves: a row for each network, a cell for each of its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.topologies.verdict import VERDICTS, CellVerdict
from export.latency.machine import Machine
from pipeline.json_files import read_json, structure
from pipeline.resize.rule import Size

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: Final = 3
WAY_OUT: Final = "move it away and run the benchmark again"


@dataclass(frozen=True)
class ArtifactRow:
    """The result of one artifact; figures as in `export.report.report.Artifact`.

    Attributes:
        verdict, reason: of `benchmarks.topologies.verdict`.
        evidence_diff: largest difference of evidence, as a share of its largest value.
        gate: what the quality gate holds against its precision, which is not its file's fault.
    """

    format: str
    precision: str
    verdict: CellVerdict
    reason: str
    size_bytes: int | None = None
    max_abs_diff: float | None = None
    evidence_diff: float | None = None
    gate: str = ""


@dataclass(frozen=True)
class TopologyRow:
    """What one network took, and its results.

    Attributes:
        side: of its images, in pixels.
        parameters: numbers that its checkpoint holds; None: it could not be drawn.
        seconds, cpu_seconds: of all commands, wall time and that of all processes.
        peak_mib: of the memory of all processes.
        exit_code: of the last command that was run.
        verdicts: verdict -> number of artifacts.
        made_by: a hash of code, tools, settings and network: the same gives the same row.
    """

    architecture: str
    name: str
    side: Size
    parameters: int | None
    seconds: float
    cpu_seconds: float
    peak_mib: int
    exit_code: int
    verdicts: Mapping[str, int]
    artifacts: tuple[ArtifactRow, ...]
    made_by: str


@dataclass(frozen=True)
class Settings:
    """How networks were exported; `weights` is ``drawn`` or ``trained``."""

    images: int
    jobs: int
    weights: str
    data: str


@dataclass(frozen=True)
class Topologies:
    """All rows so far, and where and how they were measured."""

    machine: Machine
    tools: Mapping[str, str]
    settings: Settings
    rows: tuple[TopologyRow, ...]
    schema: int = SCHEMA

    @property
    def counts(self) -> dict[str, int]:
        """Verdict -> number of artifacts of all rows."""
        found = sum((Counter(row.verdicts) for row in self.rows), Counter[str]())
        return {verdict: found[verdict] for verdict in VERDICTS}


def read_topologies(path: Path) -> Topologies:
    """Read what an earlier run wrote. Raises BadInput: missing, damaged or of another version."""
    document = read_json(path, what="results", way_out=WAY_OUT, versions=(SCHEMA,))
    return structure(document, Topologies, str(path), WAY_OUT)
