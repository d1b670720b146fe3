"""Measurements of a run with peers become its JSON document and its table.

The rows are those of `benchmarks.results`. Each also gives its group, what its timed call includes,
how its thread count was set, its difference from PyTorch, and its ratio to the fastest fp32 row at
its thread count, a peer's or ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Group, Peer
from benchmarks.ratio import Ratio
from benchmarks.results import (
    FULL,
    Results,
    TimingRow,
    machine_text,
    megabytes,
    print_undone,
    results_of,
    rounded_ratio,
    spread_text,
)
from export.latency.measurement import Measurement

if TYPE_CHECKING:
    from rich.console import Console

OURS_TIMED: Final = "uint8 NHWC array in, cast, normalisation and softmax in the graph"
OURS_THREADS_BY: Final = (
    "SessionOptions.intra_op_num_threads (onnxruntime), torch.set_num_threads (torch)"
)


@dataclass(frozen=True)
class PeerRow(TimingRow):
    """A row next to peers.

    Attributes:
        timed: what a timed call includes.
        threads_by: what set the thread count.
        best_fp32: whether it is the fastest fp32 row at its thread count.
        of_best: ratio to that one.
        max_abs_diff: largest |Δp| from PyTorch; None: not compared.
        limit: see `export.latency.measurement.Target`.
        detail: what the runtime reports, such as the precision it computes in.
    """

    group: Group
    timed: str
    threads_by: str
    best_fp32: bool
    of_best: Ratio | None
    max_abs_diff: float | None
    limit: float | None
    detail: str


def peers_results(
    measurements: Sequence[Measurement],
    peers: Mapping[str, Peer],
    rounds: int,
    round_s: float,
) -> Results[PeerRow]:
    """All figures of a run with peers.

    Args:
        measurements: of our targets and of peers, whose format is their name in `peers`.
        peers: those that were asked for.
        rounds, round_s: how it was measured.
    """
    found = results_of(measurements, rounds, round_s)
    best = {m.threads: m for m in _fastest_last(measurements)}
    rows = []
    for row, m in zip(found.rows, measurements, strict=True):
        peer = peers.get(m.target.format)
        group: Group = "pytorch" if m.target.format == "eager" else "ours"
        rows.append(
            PeerRow(
                **vars(row),
                group=peer.GROUP if peer else group,
                timed=peer.TIMED if peer else OURS_TIMED,
                threads_by=peer.THREADS_BY if peer else OURS_THREADS_BY,
                best_fp32=best.get(m.threads) is m,
                of_best=rounded_ratio(m, best.get(m.threads)),
                max_abs_diff=m.max_abs_diff,
                limit=m.target.limit,
                detail=m.detail,
            )
        )
    ran = {m.target.format for m in measurements if m.status != "not_run"}
    packages = [package for name, peer in peers.items() if name in ran for package in peer.PACKAGES]
    pins = dict(package.split("==") for package in packages)
    return Results(found.machine, {**pins, **found.tools}, rounds, round_s, rows)


def print_peers_table(console: Console, results: Results[PeerRow]) -> None:
    """The table, fastest first at each thread count; below it, the rows without figures."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=machine_text(results), box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("runtime", no_wrap=True)
    columns = ("thr", "MB", "median", "p90", "of best fp32", "of onnx fp32", "max |Δp|")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    done = [row for row in results.rows if row.status == "done"]
    for row in sorted(done, key=lambda row: (row.threads, row.median_ms or 0)):
        table.add_row(
            row_title(row),
            str(row.threads),
            megabytes(row.size_bytes),
            *(f"{ms:.2f}" for ms in (row.median_ms, row.p90_ms)),
            *map(spread_text, (row.of_best, row.ratio)),
            # Without a limit its weights differ: parity compares it with its own variant.
            "" if row.limit is None else f"{row.max_abs_diff:.0e}",
            style="bold" if is_ours(row) else None,
        )
    console.print(table)
    console.print(
        "bold: ours; median, p90 in ms; ratios: median of the rounds (10th to 90th percentile)"
    )
    print_undone(console, results)
    for timed in dict.fromkeys(row.timed for row in done):
        names = dict.fromkeys(row_title(row) for row in done if row.timed == timed)
        console.print(f"  timed in {', '.join(names)}: {timed}", markup=False)


def is_ours(row: PeerRow) -> bool:
    """Whether it is one of our artifacts."""
    return row.group == "ours"


def row_title(row: PeerRow) -> str:
    """The name in table and picture, followed by what the runtime reports."""
    return f"{row.name} ({row.detail})" if row.precision == "default" else row.name


def _fastest_last(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The fp32 rows with figures, by descending median."""
    done = [m for m in measurements if m.status == "done" and m.target.precision == FULL]
    return sorted(done, key=lambda m: -(m.median_ms or 0))
