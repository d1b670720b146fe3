"""Time to a fixed validation AUROC: ours and plain fastai in turn, a process each, seed by seed.

Out: a document of plain values. The ratio of a seed is taken within its turn, so that a machine
that is slow for a while is slow for both; figures are minutes of one machine, ratios travel.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from export.latency.machine import machine
from export.runtimes.subprocesses import last_words
from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA: Final = 1
TOOLS: Final = ("torch", "torchvision", "fastai")
NAMES: Final = ("plain fastai", "ours")
WORKER: Final = (sys.executable, "-m", "benchmarks.training.worker")


def measure_training(
    data: Path,
    seeds: Sequence[int],
    threads: int,
    target: float,
    tell: Callable[[str], None],
    worker: Sequence[str] = WORKER,
) -> dict[str, Any]:
    """Train both for every seed; times in seconds.

    Raises:
        BadInput: the data cannot be read, have more than two labels, or the target is no AUROC.
    """
    if not 0.5 < target < 1:
        raise BadInput(f"--target {target} is not between 0.5 and 1")
    dataset = read_dataset(data)
    if len(dataset.labels) != 2:
        raise BadInput(f"{data} has {len(dataset.labels)} labels; the benchmark needs two")
    rows = []
    for seed in seeds:
        for name in NAMES:
            tell(f"{name}, seed {seed}")
            rows.append(_train(name, data, seed, threads, target, worker))
    ratios = [ratio for seed in seeds if (ratio := _ratio(rows, seed)) is not None]
    bounds = {str(seed): bound for seed in seeds if (bound := _bound(rows, seed)) is not None}
    return {
        "schema": SCHEMA,
        "machine": machine(),
        "tools": {tool: version(tool) for tool in TOOLS},
        "data": {"name": dataset.name, "images": dataset.counts(), "split": dataset.split_rule},
        "threads": threads,
        "target_auroc": target,
        "rows": rows,
        "ratios": ratios,
        "ratio_below": bounds,
        "median_ratio": round(median(ratios), 3) if ratios else None,
    }


def _train(
    name: str, data: Path, seed: int, threads: int, target: float, worker: Sequence[str]
) -> dict[str, Any]:
    done = subprocess.run(
        [*worker, name, str(data), str(seed), str(threads), str(target)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    epochs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    reached = not done.returncode and bool(epochs) and epochs[-1]["auroc"] >= target
    row = {"name": name, "seed": seed, "status": "done", "reason": "", "epochs": len(epochs)}
    if done.returncode:
        row |= {"status": "failed", "reason": last_words(done.stderr, 1)}
    elif not reached:
        row |= {"status": "not_reached", "reason": f"AUROC {target} not reached"}
    return row | {
        "seconds": round(epochs[-1]["seconds"], 2) if reached else None,
        "curve": [[round(e["seconds"], 2), round(e["auroc"], 4)] for e in epochs],
    }


def _ratio(rows: Sequence[dict[str, Any]], seed: int) -> float | None:
    """Our time over plain fastai's, of one seed; None if one did not get there."""
    plain, ours = (
        next(row["seconds"] for row in rows if (row["name"], row["seed"]) == (name, seed))
        for name in NAMES
    )
    return round(ours / plain, 3) if plain and ours else None


def _bound(rows: Sequence[dict[str, Any]], seed: int) -> float | None:
    """Where ours got there and plain fastai did not: our time over all that it took, rounded up."""
    plain, ours = (
        next(row for row in rows if (row["name"], row["seed"]) == (name, seed)) for name in NAMES
    )
    if plain["status"] != "not_reached" or ours["seconds"] is None or not plain["curve"]:
        return None
    share: float = ours["seconds"] / plain["curve"][-1][0]
    return math.ceil(100 * share) / 100


def print_training_table(console: Console, document: dict[str, Any]) -> None:
    """A row a training, then the ratio."""
    from rich.table import Table

    table = Table(
        title=f"time to a validation AUROC of {document['target_auroc']}, "
        f"{document['threads']} threads"
    )
    for column in ("training", "seed", "seconds", "epochs", "status"):
        table.add_column(column)
    for row in document["rows"]:
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.1f}"
        status = row["status"] if not row["reason"] else f"{row['status']}: {row['reason']}"
        table.add_row(row["name"], str(row["seed"]), seconds, str(row["epochs"]), status)
    console.print(table)
    if document["median_ratio"] is not None:
        console.print(
            f"ours takes {document['median_ratio']:.2f} x the time of plain fastai (median of "
            f"{len(document['ratios'])} seeds: {', '.join(map(str, document['ratios']))})"
        )
    for seed, bound in document["ratio_below"].items():
        console.print(f"seed {seed}: less than {bound:.2f} x, plain fastai did not get there")
