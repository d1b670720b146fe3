"""Measurements become a document (JSON) and a table on the terminal.

Ratios are paired by round (`benchmarks.ratio`) and taken in the same run, at the same thread count:
on a shared machine they say more than milliseconds. ``ratio`` is to ONNX fp32, ``of_fp32`` to fp32
of the same format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from benchmarks.ratio import Ratio, ratio
from export.formats.register import FORMATS
from export.latency.machine import Machine, machine
from export.latency.measurement import Status
from export.publish.build_manifest import tool_versions
from export.publish.zipped_size import zipped_bytes
from pipeline.json_files import JsonObject, plain

if TYPE_CHECKING:
    from rich.console import Console

    from export.latency.measurement import Measurement

SCHEMA: Final = 2
FULL: Final = "fp32"  # the precision that others of a format are compared with
BASELINE: Final = f"{next(iter(FORMATS))} {FULL}"


@dataclass(frozen=True)
class TimingRow:
    """One target at one thread count; times in ms, memory in MiB. None: there is no such figure.

    Attributes:
        size_bytes, zipped_bytes: of its files; None: there are none.
        round_medians_ms: one per counted round.
        inferences: how many were counted.
        ratio: to `BASELINE`.
        of_fp32: to fp32 of the same format.
    """

    name: str
    precision: str
    threads: int
    status: Status
    reason: str
    size_bytes: int | None
    zipped_bytes: int | None
    load_ms: float | None
    first_ms: float | None
    median_ms: float | None
    p90_ms: float | None
    round_medians_ms: tuple[float, ...]
    inferences: int
    peak_mb: float | None
    runtime_mb: float | None
    ratio: Ratio | None
    of_fp32: Ratio | None


R = TypeVar("R", bound=TimingRow)


@dataclass(frozen=True)
class Results(Generic[R]):
    """A benchmark run: `rounds` of `round_s` seconds for each row."""

    machine: Machine
    tools: Mapping[str, str]
    rounds: int
    round_s: float
    rows: Sequence[R]
    schema: int = SCHEMA


def results_json(results: Results[R]) -> JsonObject:
    """The JSON document; a ratio is three fields: ``name``, ``name_low``, ``name_high``."""
    return {**plain(results), "rows": [_row_json(row) for row in results.rows]}


def _row_json(row: TimingRow) -> JsonObject:
    document = plain(row)
    for name in ("ratio", "of_fp32", "of_best"):
        if name in document:
            found = document[name] or {"median": None, "low": None, "high": None}
            document[name] = found["median"]
            document |= {f"{name}_low": found["low"], f"{name}_high": found["high"]}
    return document


def results_of(
    measurements: Sequence[Measurement], rounds: int, round_s: float
) -> Results[TimingRow]:
    """All figures of a run."""
    baselines = {m.threads: m for m in measurements if m.target.name == BASELINE}
    full = {(m.target.format, m.threads): m for m in measurements if m.target.precision == FULL}
    sizes: dict[Path, tuple[int | None, int | None]] = {}
    rows = []
    for m in measurements:
        path = m.target.path
        if path not in sizes:
            there = path.exists()  # a peer that is not installed has nothing
            sizes[path] = (size_bytes(path), zipped_bytes(path)) if there else (None, None)
        same_format = None if m.target.precision == FULL else full.get((m.target.format, m.threads))
        rows.append(
            TimingRow(
                name=m.target.name,
                precision=m.target.precision,
                threads=m.threads,
                status=m.status,
                reason=m.reason,
                size_bytes=sizes[path][0],
                zipped_bytes=sizes[path][1],
                load_ms=_rounded(m.load_ms),
                first_ms=_rounded(m.first_ms),
                median_ms=_rounded(m.median_ms),
                p90_ms=_rounded(m.p90_ms),
                round_medians_ms=tuple(round(median, 3) for median in m.round_medians_ms),
                inferences=len(m.latencies_ms),
                peak_mb=_rounded(m.peak_mb),
                runtime_mb=_rounded(m.runtime_mb),
                ratio=rounded_ratio(m, baselines.get(m.threads)),
                of_fp32=rounded_ratio(m, same_format),
            )
        )
    return Results(machine(), tool_versions(), rounds, round_s, rows)


def rounded_ratio(timed: Measurement, baseline: Measurement | None) -> Ratio | None:
    """`benchmarks.ratio.ratio` to three decimals, as in a row."""
    found = None if baseline is None else ratio(timed, baseline)
    if found is None:
        return None
    return Ratio(round(found.median, 3), round(found.low, 3), round(found.high, 3))


def spread_text(found: Ratio | None) -> str:
    """A ratio with its range, as in tables: ``1.43 (1.40-1.47)``; empty for None."""
    if found is None:
        return ""
    return f"{_digits(found.median)} ({_digits(found.low)}-{_digits(found.high)})"


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in _files(path))


def print_table(console: Console, results: Results[R]) -> None:
    """The table, one row per artifact and thread count; below it, what was not run."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=machine_text(results), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("artifact", no_wrap=True)
    columns = ("thr", "MB", "zip", "load", "first", "median", "p90", "ratio", "of fp32", "MiB")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in results.rows:
        if row.status != "done":
            continue
        table.add_row(
            row.name,
            str(row.threads),
            megabytes(row.size_bytes),
            megabytes(row.zipped_bytes),
            *(f"{ms:.1f}" for ms in (row.load_ms, row.first_ms)),
            *(f"{ms:.2f}" for ms in (row.median_ms, row.p90_ms)),
            *map(spread_text, (row.ratio, row.of_fp32)),
            f"{row.peak_mb:.0f}",
        )
    console.print(table)
    console.print(
        f"load, first, median, p90 in ms; ratio to {BASELINE}, and to fp32 of the same format: "
        "median of the rounds (10th to 90th percentile); MiB: peak of the process"
    )
    print_undone(console, results)


def machine_text(results: Results[R]) -> str:
    """Where it was measured, as the title of a table."""
    where = results.machine
    return f"{where.processor}, {where.cores} cores, {where.system}"


def print_undone(console: Console, results: Results[R]) -> None:
    """One line for every row without figures, with the reason."""
    for row in results.rows:
        if row.status != "done":
            word = row.status.replace("_", " ")
            line = f"  {row.name}, {row.threads} thr: {word}: {row.reason}"
            console.print(line, markup=False)


def megabytes(size: int | None) -> str:
    """As in tables; MB = 1,000,000 bytes."""
    return "" if size is None else f"{size / 1e6:.2f}"


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _digits(value: float) -> str:
    """Two decimals, fewer from 10 on, so that columns stay narrow."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
