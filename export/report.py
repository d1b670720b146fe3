"""The verdict, for people (terminal table) and for programs (JSON, JUnit XML).

In: one `Row` per artifact. Done, failed and not run are all shown, each with its reason.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

from export.manifest import parity_document
from export.parity import ParityResult

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA: Final = 1
WORDS: Final = {"pass": "pass", "fail": "FAIL", "not_run": "not run"}
STYLES: Final = {"pass": "green", "fail": "bold red", "not_run": "yellow"}


@dataclass(frozen=True)
class Row:
    """One artifact in the verdict.

    Attributes:
        place: the platforms whose asset folder it is in; empty if in none.
        parity: `fail` with a reason also where the conversion or the file's hash failed.
        size_bytes: whole artifact; None if there is none.
        latency: see `latency_document`; None: not measured.
    """

    format: str
    precision: str
    place: str
    parity: ParityResult
    size_bytes: int | None = None
    latency: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Such as ``onnx fp32``."""
        return f"{self.format} {self.precision}"


def exit_code(rows: Sequence[Row], strict: bool) -> int:
    """0: nothing failed; 1: something failed, or with `strict` was not run."""
    bad = {"fail", "not_run"} if strict else {"fail"}
    return int(any(row.parity.status in bad for row in rows))


def print_verdict(console: Console, rows: Sequence[Row], images: str) -> None:
    """The table and one sentence that counts."""
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
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("in", no_wrap=True)
    for row in rows:
        parity = row.parity
        table.add_row(
            row.name,
            f"[{STYLES[parity.status]}]{WORDS[parity.status]}[/]",
            _scientific(parity.max_abs_diff),
            _scientific(parity.tolerance.max_abs_diff if parity.tolerance else None),
            "" if parity.label_flips is None else str(parity.label_flips),
            "" if row.size_bytes is None else f"{row.size_bytes / 1e6:.2f}",
            _median(row.latency),
            row.place,
        )
    console.print(table)
    console.print("MB = 1,000,000 bytes; ms = median of one inference at one thread, this CPU")
    for how in dict.fromkeys(row.parity.how for row in rows if row.parity.how):
        names = dict.fromkeys(row.name for row in rows if row.parity.how == how)
        console.print(f"{how}: {', '.join(names)}")
    for row in rows:
        if row.parity.reason:
            console.print(f"  {row.name}: {row.parity.reason}", markup=False)
    console.print(verdict_sentence(rows))


def verdict_sentence(rows: Sequence[Row]) -> str:
    """How many passed, failed and were not run."""
    counts = {status: sum(r.parity.status == status for r in rows) for status in WORDS}
    return (
        f"{counts['pass']} passed, {counts['fail']} failed, {counts['not_run']} not run "
        f"of {len(rows)} artifacts"
    )


def report_document(command: str, rows: Sequence[Row], images: str, **more: Any) -> dict[str, Any]:
    """The same verdict as a document for programs."""
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
                "parity": _finite(parity_document(row.parity)),
                "latency_ms": row.latency,
            }
            for row in rows
        ],
        **more,
    }


def to_json(document: Mapping[str, Any]) -> str:
    """Sorted, indented, newline at the end."""
    return (
        json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
    )


def to_junit(document: Mapping[str, Any]) -> str:
    """JUnit XML of a report document: a test case per artifact; not run is skipped."""
    cases = document["artifacts"]
    count = {s: sum(c["parity"]["status"] == s for c in cases) for s in WORDS}
    suite = ElementTree.Element(
        "testsuite",
        name=f"export {document['command']}",
        tests=str(len(cases)),
        failures=str(count["fail"]),
        skipped=str(count["not_run"]),
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
        elif parity["status"] == "not_run":
            ElementTree.SubElement(element, "skipped", message=_printable(parity["reason"]))
        else:
            output = ElementTree.SubElement(element, "system-out")
            output.text = (
                f"max |dp| {parity['max_abs_diff']:.1e} on {parity['images']} images, "
                f"{parity['label_flips']} label flips"
            )
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """XML has no place for control characters, which runtimes put into their messages."""
    return "".join(c if c.isprintable() else " " for c in text)


def _scientific(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _median(latency: Mapping[str, Any] | None) -> str:
    one_thread = (latency or {}).get("threads", {}).get("1")
    return "" if one_thread is None else f"{one_thread['median']:.2f}"


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: null stands for them; `reason` says what happened."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
