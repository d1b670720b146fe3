"""Each data set through the default commands: train, compress, export. What can be published?

In: names of data sets or a folder of images, a side, a network, and the folder of the code whose
commands are run, so that an older state of it can be compared (`git worktree add`): nothing of it
is imported. Out: a row for each.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.datasets.outcome import counted, with_results
from benchmarks.datasets.register import DATASETS, write_images
from benchmarks.datasets.row import DataSetRow, DataSets
from export.latency.machine import machine
from export.publish.build_manifest import tool_versions
from export.runtimes.subprocesses import last_words
from pipeline.architecture_names import identifier
from pipeline.errors import BadInput

VARIABLES: Final = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "PYTHONUTF8": "1",
}


@dataclass(frozen=True)
class DataSetsRequest:
    """What is run.

    Attributes:
        names: of data sets; empty: all, unless there is `data`.
        side: of the images, in pixels.
        architecture: `train` gets its name; empty: its default.
        data: a folder or table of images, instead of a data set.
        latency: measure it too, which needs a quiet machine.
        code: folder whose ``python -m pipeline`` and ``python -m export`` are run.
        build: for images, checkpoints, files and logs; what an earlier run left is replaced.
    """

    names: tuple[str, ...]
    side: int
    code: Path
    build: Path
    architecture: str = ""
    data: Path | None = None
    latency: bool = False


def run_datasets(
    request: DataSetsRequest,
    earlier: DataSets | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[DataSets, DataSetRow]]:
    """Run one data set after the other; yield all results so far, and the new row, after each.

    Args:
        earlier: results of an earlier run; its rows are kept unless they are measured again.

    Raises:
        BadInput: an unknown data set, a folder that is not there, was given beside data sets or has
            the name of one, a side below 32 or unlike that of `earlier`, a folder without the code.
    """
    if unknown := [name for name in request.names if name not in DATASETS]:
        raise BadInput(f"no data set {unknown[0]!r}; there are: {', '.join(DATASETS)}")
    if request.data and request.names:
        raise BadInput("--data and --only exclude each other: one names a folder, one data sets")
    if request.data and not request.data.exists():
        raise BadInput(f"--data {request.data}: there is no such folder or table")
    if request.data and request.data.stem in DATASETS:
        raise BadInput(f"--data {request.data}: a data set has that name; rename the folder")
    if request.side < 32:
        raise BadInput("--side needs at least 32")
    if not (request.code / "pipeline" / "__main__.py").is_file():
        raise BadInput(f"--code {request.code}: there is no pipeline/ in it")
    if earlier and earlier.side != request.side:
        raise BadInput(
            f"--side {request.side}: the results of an earlier run are of {earlier.side} px; "
            "give another --out"
        )
    rows = {row.key: row for row in earlier.rows} if earlier else {}
    for name in [request.data.stem] if request.data else request.names or DATASETS:
        row = _row(name, request, progress)
        rows[row.key] = row
        ordered = tuple(sorted(rows.values(), key=_place))
        yield DataSets(machine(), tool_versions(), request.side, ordered), row


def _place(row: DataSetRow) -> tuple[str, int]:
    """Rows of one architecture stand together, a folder of one's own behind the data sets."""
    order = list(DATASETS)
    return row.architecture, order.index(row.name) if row.name in order else len(order)


def _row(name: str, request: DataSetsRequest, progress: Callable[[str], None]) -> DataSetRow:
    place = (request.build / identifier(request.architecture) / name).resolve()
    place.mkdir(parents=True, exist_ok=True)
    images, checkpoint, build = place / "images", place / "checkpoint", place / "build"
    if request.data:
        images = request.data.resolve()
        row = DataSetRow(name, "", 0, 0, 0, {}, architecture=request.architecture)
    else:
        row = replace(_drawn(name, images), architecture=request.architecture)
    options = ("--data", images)
    network = ("--architecture", request.architecture) if request.architecture else ()
    quick = () if request.latency else ("--no-latency",)
    commands: Mapping[str, tuple[str | Path, ...]] = {
        "train": (
            *("pipeline", "train", *options, *network, "--side", str(request.side)),
            *("--no-shortcuts", "--overwrite", "--out", checkpoint),
        ),
        "compress": ("pipeline", "compress", checkpoint, *options, "--overwrite"),
        "export": (
            *("export", "all", "--checkpoint", checkpoint, *options, *quick),
            *("--jobs", "1", "--out", place / "assets", "--build", build),
        ),
    }
    for step, command in commands.items():
        progress(f"{name}: {step}")
        start = time.perf_counter()
        code, output = _run(command, request.code, place / f"{step}.log")
        row = replace(row, seconds={**row.seconds, step: round(time.perf_counter() - start, 1)})
        if code and (step != "export" or not (build / "report.json").is_file()):
            return replace(row, stopped=f"{step}: exit code {code}: {last_words(output, 1)}")
    if request.data:
        row = counted(row, checkpoint)
    return with_results(row, checkpoint, build / "report.json")


def _drawn(name: str, images: Path) -> DataSetRow:
    """Draw a data set; its row has no results yet."""
    dataset = DATASETS[name]
    write_images(dataset, images)
    train, valid = (sum(counts) for counts in zip(*dataset.images.values(), strict=True))
    return DataSetRow(name, dataset.about, len(dataset.images), train, valid, {})


def _run(command: Sequence[str | Path], code: Path, log: Path) -> tuple[int, str]:
    """Exit code and output of ``python -m COMMAND`` of the code in that folder."""
    program = [sys.executable, "-m", *map(str, command)]
    with log.open("w", encoding="utf-8") as lines:
        lines.write(f"$ {shlex.join(program)}\n")
        lines.flush()
        done = subprocess.run(
            program,
            cwd=code,
            env={**os.environ, **VARIABLES},
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return done.returncode, log.read_text(encoding="utf-8")
