"""Each data set through the default commands: train, compress, export. What can be published?

In: names of data sets, a side, and the folder of the code whose commands are run, so that an older
state of it can be compared (`git worktree add`). Out: a row for each: figures of the model, what
compressing it lost, the verdict on every file. Everything is read from the files that the commands
leave, fields that every version has; nothing of the measured code is imported.
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
from typing import Any, Final

from benchmarks.datasets.register import DATASETS, write_images
from export.latency.machine import Machine, machine
from export.publish.build_manifest import tool_versions
from export.runtimes.subprocesses import last_words
from pipeline.errors import BadInput
from pipeline.json_files import read_json, structure

SCHEMA: Final = 1
PRECISIONS: Final = ("int8", "w4", "w3")
WAY_OUT: Final = "run the benchmark again"
VARIABLES: Final = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "PYTHONUTF8": "1",
}


@dataclass(frozen=True)
class DataSetsRequest:
    """What is run.

    Attributes:
        names: of data sets; empty: all.
        side: of the images, in pixels.
        code: folder whose ``python -m pipeline`` and ``python -m export`` are run.
        build: for images, checkpoints, files and logs; what an earlier run left is replaced.
    """

    names: tuple[str, ...]
    side: int
    code: Path
    build: Path


@dataclass(frozen=True)
class FileVerdict:
    """One file: its verdict (`export.report.report.Verdict`), and why it is not published."""

    format: str
    precision: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class CompressedRow:
    """One precision compared with fp32 on the validation images.

    Attributes:
        epochs: of fine-tuning.
        broken: limits that it breaks.
    """

    precision: str
    epochs: int
    images: int
    label_flips: int
    mean_abs_diff: float
    broken: tuple[str, ...]


@dataclass(frozen=True)
class DataSetRow:
    """What became of one data set.

    Attributes:
        train, valid: numbers of images.
        seconds: of each command that was run.
        stopped: the command that could not be served, and its last words; empty: none.
        figures: accuracy and calibration error of the model on the validation images.
    """

    name: str
    about: str
    labels: int
    train: int
    valid: int
    seconds: Mapping[str, float]
    stopped: str = ""
    figures: Mapping[str, float] | None = None
    compressed: tuple[CompressedRow, ...] = ()
    files: tuple[FileVerdict, ...] = ()


@dataclass(frozen=True)
class DataSets:
    """All rows, and where and of what they were measured."""

    machine: Machine
    tools: Mapping[str, str]
    side: int
    rows: tuple[DataSetRow, ...]
    schema: int = SCHEMA


def read_datasets(path: Path) -> DataSets:
    """Read what an earlier run wrote. Raises BadInput: missing, damaged or of another version."""
    document = read_json(path, what="results", way_out=WAY_OUT, versions=(SCHEMA,))
    return structure(document, DataSets, str(path), WAY_OUT)


def run_datasets(
    request: DataSetsRequest,
    earlier: Sequence[DataSetRow] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[DataSets, DataSetRow]]:
    """Run one data set after the other; yield all results so far, and the new row, after each.

    Args:
        earlier: rows of an earlier run, kept unless they are measured again.

    Raises:
        BadInput: an unknown data set, a side below 32, a folder without the code.
    """
    if unknown := [name for name in request.names if name not in DATASETS]:
        raise BadInput(f"no data set {unknown[0]!r}; there are: {', '.join(DATASETS)}")
    if request.side < 32:
        raise BadInput("--side needs at least 32")
    if not (request.code / "pipeline" / "__main__.py").is_file():
        raise BadInput(f"--code {request.code}: there is no pipeline/ in it")
    rows = {row.name: row for row in earlier}
    for name in request.names or DATASETS:
        row = rows[name] = _row(name, request, progress)
        ordered = tuple(rows[known] for known in DATASETS if known in rows)
        yield DataSets(machine(), tool_versions(), request.side, ordered), row


def _row(name: str, request: DataSetsRequest, progress: Callable[[str], None]) -> DataSetRow:
    dataset = DATASETS[name]
    place = (request.build / name).resolve()
    images, checkpoint, build = place / "images", place / "checkpoint", place / "build"
    write_images(dataset, images)
    train, valid = (sum(counts) for counts in zip(*dataset.images.values(), strict=True))
    row = DataSetRow(name, dataset.about, len(dataset.images), train, valid, {})
    options = ("--data", images)
    commands: Mapping[str, tuple[str | Path, ...]] = {
        "train": (
            *("pipeline", "train", *options, "--side", str(request.side)),
            *("--no-shortcuts", "--overwrite", "--out", checkpoint),
        ),
        "compress": ("pipeline", "compress", checkpoint, *options, "--overwrite"),
        "export": (
            *("export", "all", "--checkpoint", checkpoint, *options, "--no-latency"),
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
    return replace(
        row,
        figures=_figures(checkpoint),
        compressed=tuple(_compressed(checkpoint / p, p) for p in PRECISIONS),
        files=_files(build / "report.json"),
    )


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


def _spec(folder: Path) -> dict[str, Any]:
    return read_json(folder / "checkpoint.json", what="checkpoint", way_out=WAY_OUT)


def _figures(checkpoint: Path) -> dict[str, float]:
    metrics = _spec(checkpoint)["metrics"]
    return {
        "accuracy": round(metrics["accuracy"]["value"], 4),
        "calibration_error": round(metrics["calibration_error"], 4),
    }


def _compressed(folder: Path, precision: str) -> CompressedRow:
    spec = _spec(folder)
    comparison = spec["compression"]["comparison"]
    return CompressedRow(
        precision=precision,
        epochs=spec["training"]["compression"]["epochs"],
        images=comparison["images"],
        label_flips=comparison["label_flips"],
        mean_abs_diff=round(comparison["mean_abs_diff"], 5),
        broken=tuple(comparison.get("broken_limits", ())),
    )


def _files(report: Path) -> tuple[FileVerdict, ...]:
    document = read_json(report, what="report", way_out=WAY_OUT)
    return tuple(
        FileVerdict(found["format"], found["precision"], found["verdict"], _reason(found))
        for found in document["artifacts"]
    )


def _reason(artifact: Mapping[str, Any]) -> str:
    if artifact["verdict"] == "rejected":
        return "; ".join((artifact["accuracy"] or {}).get("broken_limits", ()))
    return str(artifact["parity"]["reason"])
