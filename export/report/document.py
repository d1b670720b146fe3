"""The verdict, for people (terminal table) and for programs (a `Report`).

In: one `VerdictRow` per artifact. Done, failed and not run are all shown, each with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from export.report.remarks import remarks
from export.report.report import Artifact, Report, Verdict
from pipeline.metrics.quality_limits import way_out

if TYPE_CHECKING:
    from rich.console import Console

    from export.latency.entry import LatencyEntry
    from export.parity.check import ParityResult
    from export.parity.quality_gate import GateResult
    from export.report.disagreement import Differences
    from export.report.figures import Figures
    from export.report.report import PublishedFile

WORDS: Final[Mapping[Verdict, str]] = {
    "pass": "pass",
    "accepted": "accepted",
    "fail": "FAIL",
    "rejected": "rejected",
    "not_run": "not run",
}
STYLES: Final = {
    "pass": "green",
    "accepted": "magenta",
    "fail": "bold red",
    "rejected": "magenta",
    "not_run": "yellow",
}


@dataclass(frozen=True)
class VerdictRow:
    """One artifact in the verdict.

    Attributes:
        place: the platforms whose asset folder it is in; empty if in none.
        parity: `fail` with a reason also if the conversion or the file's hash failed.
        gate_result: what the gate found of a reduced precision; None: fp32, or not asked.
        size_bytes: whole artifact; None if there is none.
        latency: None: not measured.
        file, differences, classification: see `export.report.report.Artifact`.
    """

    format: str
    precision: str
    place: str
    parity: ParityResult
    size_bytes: int | None = None
    latency: LatencyEntry | None = None
    gate_result: GateResult | None = None
    file: PublishedFile | None = None
    differences: Differences | None = None
    classification: Figures | None = None

    @property
    def name(self) -> str:
        """Such as ``onnx fp32``."""
        return f"{self.format} {self.precision}"

    @property
    def verdict(self) -> Verdict:
        """A key of `WORDS`: parity's, or what the quality gate made of it.

        ``rejected``: kept back; ``accepted``: published all the same, as was asked for.
        """
        if self.parity.status == "pass" and self.gate_result and self.gate_result.broken:
            return "accepted" if self.gate_result.accepted else "rejected"
        return self.parity.status

    @property
    def reason(self) -> str:
        """Why it is not published, or should not be; empty if it is fit."""
        if self.gate_result and self.verdict in ("rejected", "accepted"):
            return "; ".join(self.gate_result.broken)
        return self.parity.reason


def exit_code(rows: Sequence[VerdictRow], strict: bool) -> int:
    """0: nothing failed; 1: something failed, or with `strict` was rejected or not run."""
    bad = {"fail", "rejected", "not_run"} if strict else {"fail"}
    return int(any(row.verdict in bad for row in rows))


def print_verdict(
    console: Console,
    rows: Sequence[VerdictRow],
    images: str,
    refused: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Print the table, notes on it, and one sentence with the counts.

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
            *_against_fp32(row.gate_result),
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
            console.print(f"  {row.name}: {row.reason}", markup=False, soft_wrap=True)
        if row.verdict == "rejected":
            helps = f"    what helps: {way_out(row.precision)}"
            console.print(helps, markup=False, soft_wrap=True)
    for remark in remarks([_artifact(row) for row in rows]):
        console.print(remark, markup=False)
    for name, reasons in (refused or {}).items():
        for reason in dict.fromkeys(reasons.values()):
            precisions = ", ".join(p for p, why in reasons.items() if why == reason)
            console.print(f"  {name} has no {precisions}: {reason}", markup=False)
    console.print(verdict_sentence(rows))


def evidence_lines(rows: Sequence[VerdictRow]) -> list[str]:
    """How far the second output is from PyTorch's, by artifact; and which artifacts have none.

    Empty if no artifact was run.
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


def verdict_sentence(rows: Sequence[VerdictRow]) -> str:
    """How many passed, were accepted (if any), failed, were rejected (if any), were not run."""
    counts = {status: sum(row.verdict == status for row in rows) for status in WORDS}
    accepted = f"{counts['accepted']} accepted, " if counts["accepted"] else ""
    rejected = f"{counts['rejected']} rejected, " if counts["rejected"] else ""
    return (
        f"{counts['pass']} passed, {accepted}{counts['fail']} failed, {rejected}"
        f"{counts['not_run']} not run of {len(rows)} artifacts"
    )


def report_of(command: str, rows: Sequence[VerdictRow], images: str) -> Report:
    """The same verdict for programs."""
    return Report(
        command=command,
        verdict=verdict_sentence(rows),
        failed=exit_code(rows, strict=False) == 1,
        images=images,
        artifacts=tuple(map(_artifact, rows)),
    )


def _artifact(row: VerdictRow) -> Artifact:
    return Artifact(
        format=row.format,
        precision=row.precision,
        place=row.place,
        size_bytes=row.size_bytes,
        verdict=row.verdict,
        parity=row.parity.entry(),
        accuracy=row.gate_result.entry() if row.gate_result else None,
        latency_ms=row.latency,
        file=row.file,
        differences=row.differences,
        classification=row.classification,
    )


def _scientific(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"


def _against_fp32(gate_result: GateResult | None) -> tuple[str, str]:
    accuracy = gate_result.entry() if gate_result else None
    if accuracy is None or accuracy.auroc_drop is None:
        return "", ""
    return str(accuracy.label_flips), f"{accuracy.auroc_drop.value:+.4f}"


def _median(latency: LatencyEntry | None) -> str:
    one_thread = latency and latency.threads.get("1")
    return f"{one_thread.median:.2f}" if one_thread else ""
