"""Measurements become a document (JSON) and a table on the terminal.

Ratios are paired by round (`benchmarks.ratio`) and taken in the same run, at the same thread count:
on a shared machine they say more than milliseconds. ``ratio`` is to ONNX fp32, ``of_fp32`` to fp32
of the same format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.ratio import ratio
from export.latency.machine import machine
from export.publish.build_manifest import tool_versions
from export.publish.zipped_size import zipped_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from export.latency.measurement import Measurement

SCHEMA: Final = 2
BASELINE: Final = "onnx fp32"
FULL: Final = "fp32"  # the precision that others of a format are held against


@dataclass(frozen=True)
class Results:
    """A benchmark run; `rows` are plain dictionaries, as in the JSON."""

    machine: Mapping[str, str | int]
    tools: Mapping[str, str]
    rounds: int
    round_s: float
    rows: Sequence[Mapping[str, Any]]

    def to_json(self) -> str:
        """Sorted, indented, newline at the end."""
        document = {
            "schema": SCHEMA,
            "machine": self.machine,
            "tools": self.tools,
            "rounds": self.rounds,
            "round_s": self.round_s,
            "rows": self.rows,
        }
        return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def results_document(measurements: Sequence[Measurement], rounds: int, round_s: float) -> Results:
    """All figures of a run; times in ms, memory in MiB, sizes in bytes."""
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
            {
                "name": m.target.name,
                "precision": m.target.precision,
                "threads": m.threads,
                "status": m.status,
                "reason": m.reason,
                "size_bytes": sizes[path][0],
                "zipped_bytes": sizes[path][1],
                "load_ms": _rounded(m.load_ms),
                "first_ms": _rounded(m.first_ms),
                "median_ms": _rounded(m.median_ms),
                "p90_ms": _rounded(m.p90_ms),
                "round_medians_ms": [_rounded(median) for median in m.round_medians_ms],
                "inferences": len(m.latencies_ms),
                "peak_mb": _rounded(m.peak_mb),
                "runtime_mb": _rounded(m.runtime_mb),
                **ratio_fields("ratio", m, baselines.get(m.threads)),
                **ratio_fields("of_fp32", m, same_format),
            }
        )
    return Results(machine(), tool_versions(), rounds, round_s, rows)


def ratio_fields(
    name: str, timed: Measurement, baseline: Measurement | None
) -> dict[str, float | None]:
    """``name``, ``name_low`` and ``name_high`` of a row; all None where there is no ratio."""
    found = None if baseline is None else ratio(timed, baseline)
    values = (None,) * 3 if found is None else (found.median, found.low, found.high)
    keys = (name, f"{name}_low", f"{name}_high")
    return {key: _rounded(value) for key, value in zip(keys, values, strict=True)}


def spread_text(row: Mapping[str, Any], name: str) -> str:
    """A ratio of a row with its range, as in tables: ``1.43 (1.40-1.47)``; empty if none."""
    if row[name] is None:
        return ""
    middle, low, high = (_digits(row[key]) for key in (name, f"{name}_low", f"{name}_high"))
    return f"{middle} ({low}-{high})"


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in _files(path))


def print_table(console: Console, results: Results) -> None:
    """The table, a row per artifact and thread count; what was not run stands below it."""
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
        if row["status"] != "done":
            continue
        table.add_row(
            row["name"],
            str(row["threads"]),
            f"{row['size_bytes'] / 1e6:.2f}",
            f"{row['zipped_bytes'] / 1e6:.2f}",
            *(f"{row[name]:.1f}" for name in ("load_ms", "first_ms")),
            *(f"{row[name]:.2f}" for name in ("median_ms", "p90_ms")),
            *(spread_text(row, name) for name in ("ratio", "of_fp32")),
            f"{row['peak_mb']:.0f}",
        )
    console.print(table)
    console.print(
        "load, first, median, p90 in ms; ratio to onnx fp32, and of fp32 of the same format: "
        "median of the rounds (10th to 90th percentile); MiB: peak of the process"
    )
    print_undone(console, results)


def machine_text(results: Results) -> str:
    """Where it was measured, as the title of a table."""
    where = results.machine
    return f"{where['processor']}, {where['cores']} cores, {where['system']}"


def print_undone(console: Console, results: Results) -> None:
    """A line for every row without figures, with the reason."""
    for row in results.rows:
        if row["status"] != "done":
            word = row["status"].replace("_", " ")
            line = f"  {row['name']}, {row['threads']} thr: {word}: {row['reason']}"
            console.print(line, markup=False)


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _digits(value: float) -> str:
    """Two decimals, fewer from 10 on, so that columns stay narrow."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
