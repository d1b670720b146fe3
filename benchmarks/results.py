"""Measurements become a document (JSON), a table on the terminal and rows for the README.

Ratios are to ONNX fp32 at the same thread count, taken in the same run: on a shared machine they
say more than milliseconds.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.machine import machine
from export.manifest import tool_versions

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.measure import Measurement

SCHEMA: Final = 1
BASELINE: Final = "onnx fp32"


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
    baselines = {m.threads: m.median_ms for m in measurements if m.target.name == BASELINE}
    sizes: dict[Path, tuple[int, int]] = {}
    rows = []
    for m in measurements:
        path = m.target.path
        if path not in sizes:
            sizes[path] = (size_bytes(path), zipped_bytes(path))
        median, baseline = m.median_ms, baselines.get(m.threads)
        rows.append(
            {
                "name": m.target.name,
                "threads": m.threads,
                "status": m.status,
                "reason": m.reason,
                "size_bytes": sizes[path][0],
                "zipped_bytes": sizes[path][1],
                "load_ms": _rounded(m.load_ms),
                "first_ms": _rounded(m.first_ms),
                "median_ms": _rounded(median),
                "p90_ms": _rounded(m.p90_ms),
                "inferences": len(m.latencies_ms),
                "peak_mb": _rounded(m.peak_mb),
                "runtime_mb": _rounded(m.runtime_mb),
                "ratio": _rounded(median / baseline if median and baseline else None),
            }
        )
    return Results(machine(), tool_versions(), rounds, round_s, rows)


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in _files(path))


def zipped_bytes(path: Path) -> int:
    """Bytes of it as a zip archive (deflate), which is about what a phone downloads."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
        for file in _files(path):
            content.write(file, file.relative_to(path.parent))
    return len(archive.getvalue())


def print_table(console: Console, results: Results) -> None:
    """The table, a row per artifact and thread count; what was not run stands below it."""
    from rich import box
    from rich.table import Table

    where = results.machine
    table = Table(
        title=f"{where['processor']}, {where['cores']} cores, {where['system']}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("artifact", no_wrap=True)
    for column in ("thr", "MB", "zip", "load", "first", "median", "p90", "ratio", "MiB"):
        table.add_column(column, justify="right", no_wrap=True)
    done = [row for row in results.rows if row["status"] == "done"]
    for row in done:
        table.add_row(
            row["name"],
            str(row["threads"]),
            f"{row['size_bytes'] / 1e6:.2f}",
            f"{row['zipped_bytes'] / 1e6:.2f}",
            *(f"{row[name]:.1f}" for name in ("load_ms", "first_ms")),
            *(f"{row[name]:.2f}" for name in ("median_ms", "p90_ms")),
            "" if row["ratio"] is None else f"{row['ratio']:.2f}",
            f"{row['peak_mb']:.0f}",
        )
    console.print(table)
    console.print("load, first, median, p90 in ms; ratio to onnx fp32; MiB: peak of the process")
    for row in results.rows:
        if row["status"] != "done":
            word = row["status"].replace("_", " ")
            console.print(f"  {row['name']}, {row['threads']} thr: {word}: {row['reason']}")


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
