"""The documents that a page is made from, read and checked for what the page needs.

The report must exist. The others are optional: if one is missing, or damaged and not named by the
user, the page says so in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

from export.report.report import Report, read_report
from pipeline.errors import BadInput
from pipeline.json_files import read_json, structure

RELEASED: Final = Path("docs/results/export.json")
REPORTS: Final = (Path("build/export/report.json"), RELEASED)
NOT_IN_REPORT: Final = "not in this report; one made by `python -m export all` has it"
NAMES: Final = ("benchmark", "peers", "faults")
# Where each is searched, the newest first, and the command that makes it.
PLACES: Final = {
    "benchmark": (Path("build/benchmarks/results.json"), Path("docs/results/benchmark.json")),
    "peers": (Path("build/benchmarks/peers.json"), Path("docs/results/peers.json")),
    "faults": (Path("docs/results/faults.json"),),
}
MAKERS: Final = {
    "benchmark": "`make benchmark`",
    "peers": "`make benchmark-peers`",
    "faults": "`python -m benchmarks faults --json docs/results/faults.json`",
}
T = TypeVar("T")


@dataclass(frozen=True)
class TimedRow:
    """A row of a benchmark: times in ms, memory in MiB; None: not timed."""

    name: str
    threads: int
    status: str
    reason: str
    median_ms: float | None
    p90_ms: float | None
    load_ms: float | None
    first_ms: float | None
    peak_mb: float | None
    size_bytes: int | None = None
    max_abs_diff: float | None = None
    limit: float | None = None
    group: str = ""


@dataclass(frozen=True)
class Timed:
    """A benchmark: `rounds` of `round_s` seconds each."""

    machine: Mapping[str, str | int]
    rounds: int
    round_s: float
    rows: tuple[TimedRow, ...]


@dataclass(frozen=True)
class FaultResult:
    """A fault planted in a file of a format, and the parts of the check that found it."""

    fault: str
    format: str
    caught_by: tuple[str, ...]

    @property
    def name(self) -> str:
        """What was planted."""
        return self.fault


@dataclass(frozen=True)
class Control:
    """A change that changes nothing, and the parts of the check that raised a false alarm."""

    control: str
    format: str
    caught_by: tuple[str, ...]

    @property
    def name(self) -> str:
        """What was changed."""
        return self.control


@dataclass(frozen=True)
class Planted:
    """Everything that was planted; `model`: in whose files."""

    faults: tuple[FaultResult, ...]
    controls: tuple[Control, ...]
    model: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Source(Generic[T]):
    """A document, and where it was read; or none, and why."""

    document: T | None
    path: str
    reason: str = ""


@dataclass(frozen=True)
class PageSources:
    """All that a page is made from: the report, and the optional documents by `NAMES`."""

    report: Report
    report_path: str
    benchmark: Source[Timed]
    peers: Source[Timed]
    faults: Source[Planted]


def read_sources(
    report: Path | None, given: Mapping[str, Path | None] | None = None
) -> PageSources:
    """Read the documents.

    Args:
        report: the file; None: the last export's, else the release's (`REPORTS`).
        given: name -> file, for those of `NAMES` that are not searched in `PLACES`.

    Raises:
        BadInput: no report, or one that is damaged; a file in `given` that is missing or damaged.
    """
    if report is None:
        report = next((path for path in REPORTS if path.is_file()), REPORTS[0])
    found, files = read_report(report), given or {}
    return PageSources(
        found,
        report.as_posix(),
        _source("benchmark", Timed, files.get("benchmark"), _places("benchmark", found)),
        _source("peers", Timed, files.get("peers"), _places("peers", found)),
        _source("faults", Planted, files.get("faults"), PLACES["faults"]),
    )


def _places(name: str, report: Report) -> Sequence[Path]:
    """Where times are searched; those beside the release's report are of its model alone."""
    try:
        released = read_report(RELEASED).model
    except BadInput:
        released = None
    if released and report.model and released.name == report.model.name:
        return PLACES[name]
    return [path for path in PLACES[name] if path.parent != RELEASED.parent]


def _source(name: str, kind: type[T], given: Path | None, places: Sequence[Path]) -> Source[T]:
    if given is not None:
        return Source(_read(name, kind, given), given.as_posix())
    for path in places:
        if path.is_file():
            try:
                return Source(_read(name, kind, path), path.as_posix())
            except BadInput as error:
                return Source(None, path.as_posix(), str(error))
    where = " and no ".join(path.as_posix() for path in places)
    return Source(None, "", f"there is no {where}; {MAKERS[name]} makes it")


def _read(name: str, kind: type[T], path: Path) -> T:
    way_out = f"{MAKERS[name]} makes it"
    return structure(read_json(path, what=f"--{name}", way_out=way_out), kind, str(path), way_out)
