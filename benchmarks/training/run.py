"""Time to a fixed validation AUROC: ours and plain fastai in turn, one process each, seed by seed.

Out: a `TrainingTimes`. Both trainings of a seed follow each other, so that a machine that is slow
for a while is slow for both. Times are of one machine; compare ratios between machines.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

from export.latency.machine import Machine, machine
from export.runtimes.subprocesses import last_words
from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput
from pipeline.json_files import structure

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA: Final = 1
TOOLS: Final = ("torch", "torchvision", "fastai")
NAMES: Final = ("plain fastai", "ours")
WORKER: Final = (sys.executable, "-m", "benchmarks.training.worker")


@dataclass(frozen=True)
class Trained:
    """One training.

    Attributes:
        epochs: how many were run.
        seconds: to the target; None if it was not reached.
        curve: (seconds, validation AUROC) after each epoch.
    """

    name: str
    seed: int
    status: Literal["done", "failed", "not_reached"]
    reason: str
    epochs: int
    seconds: float | None
    curve: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Data:
    """The training data; `images`: split -> label -> how many."""

    name: str
    images: Mapping[str, Mapping[str, int]]
    split: str


@dataclass(frozen=True)
class TrainingTimes:
    """All trainings, and where and how they were timed.

    Attributes:
        ratios: our time over plain fastai's, of the seeds with which both reached the target.
        ratio_below: seed -> its upper bound, where ours alone reached it.
    """

    machine: Machine
    tools: Mapping[str, str]
    data: Data
    threads: int
    target_auroc: float
    rows: tuple[Trained, ...]
    ratios: tuple[float, ...]
    ratio_below: Mapping[str, float]
    median_ratio: float | None
    schema: int = SCHEMA


@dataclass(frozen=True)
class _Epoch:
    """One line of the worker's output."""

    seconds: float
    auroc: float


def measure_training(
    data: Path,
    seeds: Sequence[int],
    threads: int,
    target: float,
    tell: Callable[[str], None],
    worker: Sequence[str] = WORKER,
) -> TrainingTimes:
    """Train both for every seed; times in seconds.

    Raises:
        BadInput: the data cannot be read or do not have two labels, or the target is not between
            0.5 and 1.
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
    return TrainingTimes(
        machine=machine(),
        tools={tool: version(tool) for tool in TOOLS},
        data=Data(dataset.name, dataset.counts(), dataset.split_rule),
        threads=threads,
        target_auroc=target,
        rows=tuple(rows),
        ratios=tuple(ratios),
        ratio_below=bounds,
        median_ratio=round(median(ratios), 3) if ratios else None,
    )


def _train(
    name: str, data: Path, seed: int, threads: int, target: float, worker: Sequence[str]
) -> Trained:
    done = subprocess.run(
        [*worker, name, str(data), str(seed), str(threads), str(target)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    epochs = [structure(json.loads(line), _Epoch, "an epoch", "train again") for line in lines]
    reached = not done.returncode and bool(epochs) and epochs[-1].auroc >= target
    status: Literal["done", "failed", "not_reached"] = "done"
    reason = ""
    if done.returncode:
        status, reason = "failed", last_words(done.stderr, 1)
    elif not reached:
        status, reason = "not_reached", f"AUROC {target} not reached"
    return Trained(
        name=name,
        seed=seed,
        status=status,
        reason=reason,
        epochs=len(epochs),
        seconds=round(epochs[-1].seconds, 2) if reached else None,
        curve=tuple((round(e.seconds, 2), round(e.auroc, 4)) for e in epochs),
    )


def _both(rows: Sequence[Trained], seed: int) -> list[Trained]:
    """Plain fastai and ours."""
    return [next(r for r in rows if (r.name, r.seed) == (name, seed)) for name in NAMES]


def _ratio(rows: Sequence[Trained], seed: int) -> float | None:
    """Our time over plain fastai's, of one seed; None if one of them missed the target."""
    plain, ours = _both(rows, seed)
    return round(ours.seconds / plain.seconds, 3) if plain.seconds and ours.seconds else None


def _bound(rows: Sequence[Trained], seed: int) -> float | None:
    """Where ours alone reached the target: our time over all of plain fastai's, rounded up."""
    plain, ours = _both(rows, seed)
    if plain.status != "not_reached" or ours.seconds is None or not plain.curve:
        return None
    share = ours.seconds / plain.curve[-1][0]
    return math.ceil(100 * share) / 100


def print_training_table(console: Console, times: TrainingTimes) -> None:
    """One row per training, then the ratio."""
    from rich.table import Table

    table = Table(
        title=f"time to a validation AUROC of {times.target_auroc}, {times.threads} threads"
    )
    for column in ("training", "seed", "seconds", "epochs", "status"):
        table.add_column(column)
    for row in times.rows:
        seconds = "-" if row.seconds is None else f"{row.seconds:.1f}"
        status = row.status if not row.reason else f"{row.status}: {row.reason}"
        table.add_row(row.name, str(row.seed), seconds, str(row.epochs), status)
    console.print(table)
    if times.median_ratio is not None:
        console.print(
            f"ours takes {times.median_ratio:.2f} x the time of plain fastai (median of "
            f"{len(times.ratios)} seeds: {', '.join(map(str, times.ratios))})"
        )
    for seed, bound in times.ratio_below.items():
        console.print(f"seed {seed}: less than {bound:.2f} x; plain fastai missed the target")
