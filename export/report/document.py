"""The verdict, for people (terminal table) and for programs (JSON, JUnit XML).

In: one `Row` per artifact. Done, failed and not run are all shown, each with its reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from export.publish.build_manifest import parity_document
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

    from export.parity.check import ParityResult
    from export.parity.quality_gate import Promotion

SCHEMA: Final = 2
READABLE: Final = (1, SCHEMA)
SCHEMA_FILE: Final = Path(__file__).parent / "report.schema.json"
# Of an artifact, beside its verdict; null where it is not known.
DETAILS: Final = ("file", "differences", "classification")
WORDS: Final = {"pass": "pass", "fail": "FAIL", "rejected": "rejected", "not_run": "not run"}
MAKE_ONE: Final = "`python -m export all` writes build/export/report.json"
STYLES: Final = {"pass": "green", "fail": "bold red", "rejected": "magenta", "not_run": "yellow"}


@dataclass(frozen=True)
class Row:
    """One artifact in the verdict.

    Attributes:
        place: the platforms whose asset folder it is in; empty if in none.
        parity: `fail` with a reason also where the conversion or the file's hash failed.
        promotion: what the gate found of a reduced precision; None: fp32, or not asked.
        size_bytes: whole artifact; None if there is none.
        latency: see `latency_document`; None: not measured.
        details: what else the document says of it, by the names of `DETAILS`.
    """

    format: str
    precision: str
    place: str
    parity: ParityResult
    size_bytes: int | None = None
    latency: Mapping[str, Any] | None = None
    promotion: Promotion | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Such as ``onnx fp32``."""
        return f"{self.format} {self.precision}"

    @property
    def verdict(self) -> str:
        """A key of `WORDS`: parity's, or ``rejected`` where the gate kept it back."""
        if self.parity.status == "pass" and self.promotion and self.promotion.broken:
            return "rejected"
        return self.parity.status

    @property
    def reason(self) -> str:
        """Why it is not published; empty if it is."""
        if self.promotion and self.verdict == "rejected":
            return "; ".join(self.promotion.broken)
        return self.parity.reason


def exit_code(rows: Sequence[Row], strict: bool) -> int:
    """0: nothing failed; 1: something failed, or with `strict` was rejected or not run."""
    bad = {"fail", "rejected", "not_run"} if strict else {"fail"}
    return int(any(row.verdict in bad for row in rows))


def print_verdict(
    console: Console,
    rows: Sequence[Row],
    images: str,
    refused: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """The table, what is to be said of it, and one sentence that counts.

    `refused` is format -> precision it cannot take -> why.
    """
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"Agreement with PyTorch on {images}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("artifact", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("max |Δp|", justify="right", no_wrap=True)
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("flips", justify="right")
    table.add_column("to fp32", justify="right", no_wrap=True)
    table.add_column("ΔAUROC", justify="right", no_wrap=True)
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("in", no_wrap=True)
    for row in rows:
        parity = row.parity
        table.add_row(
            row.name,
            f"[{STYLES[row.verdict]}]{WORDS[row.verdict]}[/]",
            _scientific(parity.max_abs_diff),
            _scientific(parity.tolerance.max_abs_diff if parity.tolerance else None),
            "" if parity.label_flips is None else str(parity.label_flips),
            *_against_fp32(row.promotion),
            "" if row.size_bytes is None else f"{row.size_bytes / 1e6:.2f}",
            _median(row.latency),
            row.place,
        )
    console.print(table)
    console.print("max |Δp|, flips: to PyTorch with the same weights; MB = 1,000,000 bytes")
    console.print("to fp32: labels that differ from fp32's, of the validation images; ΔAUROC: loss")
    console.print("ms = median of one inference at one thread, this CPU")
    for how in dict.fromkeys(row.parity.how for row in rows if row.parity.how):
        names = dict.fromkeys(row.name for row in rows if row.parity.how == how)
        console.print(f"{how}: {', '.join(names)}")
    for line in evidence_lines(rows):
        console.print(line)
    for row in rows:
        if row.reason:
            console.print(f"  {row.name}: {row.reason}", markup=False)
    for name, reasons in (refused or {}).items():
        for reason in dict.fromkeys(reasons.values()):
            precisions = ", ".join(p for p, why in reasons.items() if why == reason)
            console.print(f"  {name} has no {precisions}: {reason}", markup=False)
    console.print(verdict_sentence(rows))


def evidence_lines(rows: Sequence[Row]) -> list[str]:
    """How far the second output is from PyTorch's, by artifact; and of which there is none.

    Nothing is said where no artifact was run.
    """
    compared = [row for row in rows if row.parity.images]
    found = dict.fromkeys(
        f"{row.name} {row.parity.evidence.max_rel_diff:.0e}"
        for row in compared
        if row.parity.evidence is not None
    )
    none = dict.fromkeys(row.name for row in compared if row.parity.evidence is None)
    lines = []
    if found:
        lines.append(
            "evidence, largest difference as a share of the image's largest: " + ", ".join(found)
        )
    if none:
        lines.append(f"no evidence to compare: {', '.join(none)}")
    return lines


def verdict_sentence(rows: Sequence[Row]) -> str:
    """How many passed, failed, were rejected (if any) and were not run."""
    counts = {status: sum(row.verdict == status for row in rows) for status in WORDS}
    rejected = f"{counts['rejected']} rejected, " if counts["rejected"] else ""
    return (
        f"{counts['pass']} passed, {counts['fail']} failed, {rejected}{counts['not_run']} not run "
        f"of {len(rows)} artifacts"
    )


def report_document(command: str, rows: Sequence[Row], images: str, **more: Any) -> dict[str, Any]:
    """The same verdict as a document for programs, as report.schema.json lays it down."""
    return {
        "schema": SCHEMA,
        "command": command,
        "verdict": verdict_sentence(rows),
        "failed": exit_code(rows, strict=False) == 1,
        "images": images,
        "artifacts": [
            {
                "format": row.format,
                "precision": row.precision,
                "place": row.place,
                "size_bytes": row.size_bytes,
                "verdict": row.verdict,
                "parity": _finite(parity_document(row.parity)),
                "accuracy": _finite(row.promotion.document()) if row.promotion else None,
                "latency_ms": row.latency,
                **{name: row.details.get(name) for name in DETAILS},
            }
            for row in rows
        ],
        **more,
    }


def read_report(path: Path) -> dict[str, Any]:
    """Read what `report_document` made, and hold it against the schema.

    One of schema 1, of an earlier release, is read as well: what schema 2 adds is null in it.

    Raises:
        BadInput: no such file, not JSON, of another schema, or damaged.
    """
    import jsonschema

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"no report at {path}: {error.strerror}; make one: {MAKE_ONE}") from error
    except ValueError as error:
        raise BadInput(f"{path} is not JSON: {error}") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if isinstance(found, bool) or found not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise BadInput(
            f"{path} has schema {found!r}, this version reads {known}; make one: {MAKE_ONE}"
        )
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    current = document if found == SCHEMA else _as_current(document)
    try:
        jsonschema.Draft202012Validator(schema).validate(current)
    except jsonschema.ValidationError as error:
        raise BadInput(f"{path} is damaged at {error.json_path}: {error.message[:200]}") from error
    return {**current, "schema": found}


def _as_current(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document of schema 1 with null for what schema 2 adds to each artifact."""
    artifacts = document.get("artifacts")
    if isinstance(artifacts, list):
        empty = dict.fromkeys(DETAILS)
        artifacts = [{**empty, **a} if isinstance(a, dict) else a for a in artifacts]
    added = {} if "artifacts" not in document else {"artifacts": artifacts}
    return {**document, **added, "schema": SCHEMA}


def to_json(document: Mapping[str, Any]) -> str:
    """Sorted, indented, newline at the end."""
    return (
        json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    )


def to_junit(document: Mapping[str, Any]) -> str:
    """JUnit XML of a report document: a test case per artifact; not run is skipped."""
    cases = document["artifacts"]
    count = {s: sum(c["verdict"] == s for c in cases) for s in WORDS}
    suite = ElementTree.Element(
        "testsuite",
        name=f"export {document['command']}",
        tests=str(len(cases)),
        failures=str(count["fail"]),
        skipped=str(count["not_run"] + count["rejected"]),
    )
    for case in cases:
        element = ElementTree.SubElement(
            suite,
            "testcase",
            classname=case["place"],
            name=f"{case['format']} {case['precision']}",
        )
        parity = case["parity"]
        if parity["status"] == "fail":
            ElementTree.SubElement(element, "failure", message=_printable(parity["reason"]))
        elif case["verdict"] == "rejected":
            reason = "; ".join(case["accuracy"]["broken_limits"])
            ElementTree.SubElement(element, "skipped", message=f"rejected: {reason}")
        elif parity["status"] == "not_run":
            ElementTree.SubElement(element, "skipped", message=_printable(parity["reason"]))
        else:
            output = ElementTree.SubElement(element, "system-out")
            output.text = (
                f"max |dp| {parity['max_abs_diff']:.1e} on {parity['images']} images, "
                f"{parity['label_flips']} label flips"
            )
            if parity["evidence"] is not None:
                output.text += f", evidence {parity['evidence']['max_rel_diff']:.1e}"
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """XML has no place for control characters, which runtimes put into their messages."""
    return "".join(c if c.isprintable() else " " for c in text)


def _scientific(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _against_fp32(promotion: Promotion | None) -> tuple[str, str]:
    figures = promotion.figures if promotion else {}
    if "auroc_drop" not in figures:
        return "", ""
    return str(figures["label_flips"]), f"{figures['auroc_drop']['value']:+.4f}"


def _median(latency: Mapping[str, Any] | None) -> str:
    one_thread = (latency or {}).get("threads", {}).get("1")
    return "" if one_thread is None else f"{one_thread['median']:.2f}"


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: null stands for them; `reason` says what happened."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
