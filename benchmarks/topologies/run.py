"""One network after the other through compressing and exporting, as a user would.

In: names of architectures and a side, or trained checkpoints. Out: a row for each: wall time,
processor time and peak memory of all processes, and for every artifact its verdict, its size and
its difference from PyTorch.

Without checkpoints weights are drawn (`benchmarks.drawn_network`); int8 and w4 are made by rounding
alone, calibrated on a few drawn images, and a file is judged whatever its precision costs. That
depends on what was learnt: to see it, give trained checkpoints.

A row that is there is kept, unless code, tools, settings or network are others now; so a run that
was stopped goes on where it was.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.process_tree import Used, run_watched
from benchmarks.topologies.made_by import made_by, tools
from benchmarks.topologies.names import NAMES
from benchmarks.topologies.row import ArtifactRow, Settings, Topologies, TopologyRow
from benchmarks.topologies.subjects import (
    DATA,
    Subject,
    TopologiesRequest,
    drawn_checkpoint,
    subjects,
)
from benchmarks.topologies.verdict import BAD_INPUT, verdict_of, verdict_of_command
from export.formats.register import FORMATS
from export.latency.machine import machine
from export.report.report import read_report
from export.runtimes.subprocesses import last_words
from pipeline.architecture_names import identifier
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from export.report.report import Artifact

COMPRESSED: Final = ("int8", "w4")  # by rounding alone
PRECISIONS: Final = ("fp32", "fp16", *COMPRESSED)
CALIBRATION_IMAGES: Final = 32
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PLACES: Final = {name: place for place, name in enumerate(NAMES)}
NOT_COMPRESSED: Final = "is not compressed to"  # in the reason for a file that could not be made


def measure_topologies(
    request: TopologiesRequest,
    earlier: Sequence[TopologyRow] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[tuple[Topologies, TopologyRow]]:
    """Export one network after the other; yield all results so far, and the new row, after each.

    Args:
        earlier: rows of an earlier run; those that need not be made again are not.

    Raises:
        BadInput: an unknown architecture; a side or a number of images below 1; a folder that is
            not a checkpoint or lies in `build`; two folders of one name; data without checkpoints.
        MissingDependency: the library of an architecture is not installed.
    """
    if min(request.side, request.images, request.jobs) < 1:
        raise BadInput("--side, --images and --jobs need at least 1")
    chosen = subjects(request)
    settings = Settings(
        images=request.images,
        jobs=request.jobs,
        weights="trained" if request.checkpoints else "drawn",
        data=_data_name(request),
    )
    some = request.architectures or request.checkpoints
    names = [subject.name for subject in chosen]
    rows = {row.name: row for row in earlier if some or row.name in names}
    data: Path | None = None
    for subject in chosen:
        stamp = made_by(subject, request.side, settings)
        known = rows.get(subject.name)
        if known is not None and known.made_by == stamp and not request.again:
            continue
        progress(subject.name)
        data = data or (request.data if request.checkpoints else _drawn_images(request))
        row = rows[subject.name] = _row(subject, request, data, stamp)
        ordered = sorted(rows.values(), key=lambda row: PLACES.get(row.name, len(PLACES)))
        yield Topologies(machine(), tools(), settings, tuple(ordered)), row


def _data_name(request: TopologiesRequest) -> str:
    if not request.checkpoints:
        return DATA
    return request.data.resolve().name if request.data else "phantoms"


def _drawn_images(request: TopologiesRequest) -> Path:
    from benchmarks.datasets.register import DATASETS, write_images

    folder = request.build / "images"
    write_images(DATASETS[DATA], folder)
    return folder


def _row(
    subject: Subject, request: TopologiesRequest, data: Path | None, stamp: str
) -> TopologyRow:
    from pipeline.atomic_files import staged_folder

    place = request.build / identifier(subject.name)
    with staged_folder(place):
        pass  # empty, in place of what an earlier run left
    row = TopologyRow(
        architecture=subject.architecture,
        name=subject.name,
        side=request.side,
        parameters=None,
        seconds=0,
        cpu_seconds=0,
        peak_mib=0,
        exit_code=0,
        verdicts={},
        artifacts=(),
        made_by=stamp,
    )
    try:
        checkpoint = subject.checkpoint or drawn_checkpoint(subject, request.side, place)
        row = _with_facts(row, checkpoint)
    except Exception as error:  # the row says what happened, and the others are made
        (place / "draw.log").write_text(traceback.format_exc(), encoding="utf-8")
        code = BAD_INPUT if isinstance(error, BadInput) else 1
        words = f"not drawn: {type(error).__name__}: {' '.join(str(error).split())}"
        return _with_artifacts(replace(row, exit_code=code), _none_made(code, words))
    variables = {**os.environ, **dict.fromkeys(THREADS, "1")}
    used = {
        name: run_watched([sys.executable, "-m", *command], place / f"{name}.log", variables)
        for name, command in _commands(subject, request, checkpoint, data, place).items()
    }
    row = replace(
        row,
        seconds=round(sum(u.seconds for u in used.values()), 1),
        cpu_seconds=round(sum(u.cpu_seconds for u in used.values()), 1),
        peak_mib=round(max(u.peak_mib for u in used.values())),
        exit_code=used["export"].code,
    )
    row = _with_artifacts(row, _artifacts(place / "build" / "report.json", used))
    if not request.keep:
        _remove_files(place)
    return row


def _commands(
    subject: Subject, request: TopologiesRequest, checkpoint: Path, data: Path | None, place: Path
) -> dict[str, list[str | Path]]:
    """Arguments of python -m, by the name of the log."""
    options: list[str | Path] = ["--data", data] if data else []
    export: list[str | Path] = ["export", "all", "--no-latency", "--checkpoint", checkpoint]
    export += [*options, "--images", str(request.images), "--jobs", str(request.jobs)]
    export += ["--out", place / "assets", "--build", place / "build"]
    if subject.checkpoint is not None:
        return {"export": export}
    compress: list[str | Path] = ["pipeline", "compress", checkpoint, *options, "--epochs", "0"]
    compress += ["--precisions", ",".join(COMPRESSED), "--threads", "1"]
    compress += ["--calibration-images", str(CALIBRATION_IMAGES)]
    return {"compress": compress, "export": [*export, "--precisions", ",".join(PRECISIONS)]}


def _with_facts(row: TopologyRow, checkpoint: Path) -> TopologyRow:
    from pipeline.checkpoint import open_checkpoint

    opened = open_checkpoint(checkpoint)
    parameters = sum(tensor.numel() for tensor in opened.weights().values())
    return replace(row, side=opened.spec.side, parameters=parameters)


def _with_artifacts(row: TopologyRow, artifacts: Sequence[ArtifactRow]) -> TopologyRow:
    counts = Counter[str](artifact.verdict for artifact in artifacts)
    return replace(row, artifacts=tuple(artifacts), verdicts=dict(sorted(counts.items())))


def _artifacts(report: Path, used: Mapping[str, Used]) -> list[ArtifactRow]:
    """From the report of the export; what was not compressed has the reason from there."""
    if not report.exists():
        return _none_made(used["export"].code, _words(used["export"]))
    # A log is told as it lies below the row's folder, wherever that is.
    place = f"{report.parent.parent.resolve()}{os.sep}"
    rows = [
        replace(row, reason=row.reason.replace(place, ""))
        for row in map(_artifact, read_report(report).artifacts)
    ]
    compress = used.get("compress")
    if compress is None or compress.code == 0:
        return rows
    verdict, words = verdict_of_command(compress.code), _words(compress)
    return [
        replace(row, verdict=verdict, reason=f"not compressed: {words}")
        if row.verdict == "refused" and NOT_COMPRESSED in row.reason
        else row
        for row in rows
    ]


def _words(used: Used) -> str:
    """What a command said last, or its exit code."""
    said = last_words(used.output, 1).removeprefix("error: ")
    return said or f"exit code {used.code}"


def _none_made(code: int, words: str) -> list[ArtifactRow]:
    """The rows of a network of which no file was made."""
    return [
        ArtifactRow(name, precision, verdict_of_command(code), words)
        for name, facts in FORMATS.items()
        for precision in facts.precisions
        if precision in PRECISIONS
    ]


def _artifact(artifact: Artifact) -> ArtifactRow:
    parity, accuracy = artifact.parity, artifact.accuracy
    return ArtifactRow(
        format=artifact.format,
        precision=artifact.precision,
        verdict=verdict_of(parity),
        reason=parity.reason,
        size_bytes=artifact.size_bytes,
        max_abs_diff=parity.max_abs_diff,
        evidence_diff=parity.evidence.max_rel_diff if parity.evidence else None,
        gate="; ".join(accuracy.broken_limits) if accuracy else "",
    )


def _remove_files(place: Path) -> None:
    """All but reports and logs: the files of forty networks fill a disk."""
    for folder in (place / "assets", place / "checkpoint"):
        shutil.rmtree(folder, ignore_errors=True)
    for found in (place / "build").glob("*"):
        if found.is_dir():
            shutil.rmtree(found)
        elif found.suffix not in (".json", ".html", ".log"):
            found.unlink()
