"""Tables of the data sets: on a terminal, in the documents before and after a change, and with the
time that each precision takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config import TrainConfig

if TYPE_CHECKING:
    from benchmarks.datasets.row import DataSetRow, DataSets, FileVerdict


def line(row: DataSetRow) -> str:
    """One line for people: what passed of each precision, or where it stopped."""
    if row.stopped or row.figures is None:
        return f"{row.name}: {row.stopped}"
    passed = ", ".join(f"{p} {told(row, p)}" for p in precisions(row))
    return f"{row.name}: accuracy {row.figures['accuracy']:.3f}; passed: {passed}"


def precisions(row: DataSetRow) -> tuple[str, ...]:
    """Those of its files, in the order of the report."""
    return tuple(dict.fromkeys(file.precision for file in row.files))


def told(row: DataSetRow, precision: str) -> str:
    """How many of its files of a precision are published, such as ``3 of 4``."""
    verdicts = [f.verdict for f in row.files if f.precision == precision and f.verdict != "not_run"]
    return f"{verdicts.count('pass')} of {len(verdicts)}" if verdicts else "-"


def markdown(before: DataSets, after: DataSets) -> str:
    """A row for each data set, before and after; below it why files are not published now."""
    earlier = {row.key: row for row in before.rows}
    columns = tuple(dict.fromkeys(p for row in after.rows for p in precisions(row)))
    lines = [
        "| data set | labels | images | accuracy | calibration error | "
        + " | ".join(columns)
        + " |",
        "| --- | ---: | ---: | --- | --- |" + " --- |" * len(columns),
    ]
    for row in after.rows:
        pair = (earlier.get(row.key), row)
        cells = [_arrow(*(told(r, p) if r else "-" for r in pair)) for p in columns]
        figures = [_arrow(*(_figure(r, name) for r in pair)) for name in FIGURES]
        lines.append(
            f"| {row.name}: {row.about} | {row.labels} | {row.train} + {row.valid} | "
            + " | ".join([*figures, *cells])
            + " |"
        )
    return "\n".join([*lines, "", *_unpublished(after)])


def timed(results: DataSets) -> str:
    """A row for each precision of each model: labels that flip, what is published, MB and ms."""
    formats = tuple(dict.fromkeys(f.format for row in results.rows for f in row.files))
    if not formats:
        return "\n".join(_unpublished(results))
    lines = [
        "| network, images | labels | accuracy | precision | flips | published | "
        + f"MB of {formats[0]} | "
        + " | ".join(f"{name}, ms" for name in formats)
        + " |",
        "| --- | ---: | ---: | --- | ---: | --- | ---: |" + " ---: |" * len(formats),
    ]
    for row in results.rows:
        flips = {c.precision: f"{c.label_flips} of {c.images}" for c in row.compressed}
        for precision in precisions(row):
            files = {f.format: f for f in row.files if f.precision == precision}
            whole = {f.format: f for f in row.files if f.precision == "fp32"}
            times = [_time(files.get(name), whole.get(name)) for name in formats]
            first = files.get(formats[0])
            size = f"{first.size_bytes / 1e6:.2f}" if first and first.size_bytes else ""
            lines.append(
                f"| {row.architecture or TrainConfig.architecture}, {row.name} | {row.labels} | "
                f"{_figure(row, 'accuracy')} | {precision} | {flips.get(precision, '')} | "
                f"{told(row, precision)} | {size} | {' | '.join(times)} |"
            )
    return "\n".join([*lines, "", *_unpublished(results)])


def _time(file: FileVerdict | None, whole: FileVerdict | None) -> str:
    """The median at one thread, and how much of fp32's that is."""
    if file is None or "1" not in file.latency_ms:
        return ""
    own = file.latency_ms["1"]
    known = whole is not None and whole is not file and "1" in whole.latency_ms
    return f"{own:.2f} ({own / whole.latency_ms['1']:.2f} x)" if known and whole else f"{own:.2f}"


def _unpublished(results: DataSets) -> list[str]:
    """Why files are not published, those of one reason together."""
    lines = [f"- **{row.name}**: {row.stopped}" for row in results.rows if row.stopped]
    for row in results.rows:
        where = ", ".join(filter(None, (row.architecture, row.name)))
        reasons: dict[str, list[str]] = {}
        for file in row.files:
            if file.verdict in ("fail", "rejected"):
                why = f"{file.verdict}: {file.reason}"
                reasons.setdefault(why, []).append(f"{file.format} {file.precision}")
        lines += [f"- **{where}: {', '.join(f)}** {why}" for why, f in reasons.items()]
    return lines


FIGURES = ("accuracy", "calibration_error")


def _figure(row: DataSetRow | None, name: str) -> str:
    return f"{row.figures[name]:.3f}" if row and row.figures else "-"


def _arrow(before: str, after: str) -> str:
    return after if before == after else f"{before} -> {after}"
