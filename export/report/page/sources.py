"""The documents that a page is made from, read and held against what the page needs of them.

The report must be there. The others are optional: where one is missing, or is damaged and nobody
asked for it by name, the page says so in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from export.report.document import read_report
from pipeline.errors import BadInput

RELEASED: Final = Path("docs/results/export.json")
REPORTS: Final = (Path("build/export/report.json"), RELEASED)
NOT_IN_REPORT: Final = "the report does not hold it; one by `python -m export all` does"
NAMES: Final = ("benchmark", "peers", "faults")
# Where each is looked for, the newest first, and what makes it.
PLACES: Final = {
    "benchmark": (Path("build/benchmarks/results.json"), Path("docs/results/benchmark.json")),
    "peers": (Path("build/benchmarks/peers.json"), Path("docs/results/peers.json")),
    "faults": (Path("docs/results/faults.json"),),
}
MAKERS: Final = {
    "benchmark": "`make benchmark`",
    "peers": "`make benchmark-peers`",
    "faults": "`python -m tests.export.fault_bench > docs/results/faults.json`",
}
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": ["number", "null"]}
_TIMES: Final = ("median_ms", "p90_ms", "load_ms", "first_ms", "peak_mb")
_ROW: Final = {
    "type": "object",
    "required": ["name", "threads", "status", "reason", *_TIMES],
    "properties": {
        "name": _TEXT,
        "threads": {"type": "integer"},
        "status": _TEXT,
        "reason": _TEXT,
        "size_bytes": _NUMBER,
        **dict.fromkeys(_TIMES, _NUMBER),
    },
}
_TIMED: Final = {
    "type": "object",
    "required": ["machine", "rounds", "round_s", "rows"],
    "properties": {
        "machine": {"type": "object"},
        "rounds": {"type": "integer"},
        "round_s": {"type": "number"},
        "rows": {"type": "array", "items": _ROW},
    },
}


def _planted(name: str) -> dict[str, Any]:
    properties = {name: _TEXT, "format": _TEXT, "caught_by": {"type": "array", "items": _TEXT}}
    entry = {"type": "object", "required": list(properties), "properties": properties}
    return {"type": "array", "items": entry}


SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "benchmark": _TIMED,
    "peers": _TIMED,
    "faults": {
        "type": "object",
        "required": ["faults", "controls"],
        "properties": {"faults": _planted("fault"), "controls": _planted("control")},
    },
}


@dataclass(frozen=True)
class Source:
    """A document, and where it was read; or none, and why."""

    document: Mapping[str, Any] | None
    path: str
    reason: str = ""


@dataclass(frozen=True)
class Sources:
    """All that a page is made from: the report, and the optional documents by `NAMES`."""

    report: Mapping[str, Any]
    report_path: str
    benchmark: Source
    peers: Source
    faults: Source


def read_sources(report: Path | None, given: Mapping[str, Path | None] | None = None) -> Sources:
    """Read what is there.

    Args:
        report: the file; None: the last export's, else the release's (`REPORTS`).
        given: name -> file, for those of `NAMES` that are not to be looked for in `PLACES`.

    Raises:
        BadInput: no report, or one that is damaged; a file in `given` that is missing or damaged.
    """
    if report is None:
        report = next((path for path in REPORTS if path.is_file()), REPORTS[0])
    document = read_report(report)
    found = {name: _source(name, (given or {}).get(name)) for name in NAMES}
    return Sources(document, report.as_posix(), **found)


def _source(name: str, given: Path | None) -> Source:
    if given is not None:
        return Source(_read(name, given), given.as_posix())
    for path in PLACES[name]:
        if path.is_file():
            try:
                return Source(_read(name, path), path.as_posix())
            except BadInput as error:
                return Source(None, path.as_posix(), str(error))
    where = " and no ".join(path.as_posix() for path in PLACES[name])
    return Source(None, "", f"there is no {where}; {MAKERS[name]} makes it")


def _read(name: str, path: Path) -> Mapping[str, Any]:
    import jsonschema

    try:
        document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator(SCHEMAS[name]).validate(document)
    except OSError as error:
        raise BadInput(f"--{name} {path}: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    except jsonschema.ValidationError as error:
        raise BadInput(f"{path} is damaged at {error.json_path}: {error.message[:200]}") from error
    return document
