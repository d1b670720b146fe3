"""Conversions, each format in a process of its own.

In: a checkpoint folder and the artifacts wanted. Out: one `Conversion` per artifact, done or
failed. A fresh process per format keeps the converters' names and counters, hence the bytes they
write, the same from run to run; it holds their chatter in a log, and two cores work at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from export.errors import CannotRunHere, ConversionFailed, Unreadable
from export.formats import FORMATS
from export.formats.base import Description
from pipeline.placement import make_folder


@dataclass(frozen=True)
class Conversion:
    """What became of one artifact; `error` is None when it was written and read back."""

    format: str
    precision: str
    path: Path
    seconds: float
    description: Description | None = None
    error: str | None = None


def artifact_name(model: str, format_name: str, precision: str) -> str:
    """File or folder name of an artifact, such as ``squeezenet_cxr_fp32.onnx``."""
    return f"{model}_{precision}{FORMATS[format_name].SUFFIX}"


def convert_all(
    checkpoint: Path, wanted: Mapping[str, Sequence[str]], folder: Path, jobs: int
) -> Iterator[Conversion]:
    """Convert and yield artifacts as they are finished.

    Args:
        checkpoint: its folder.
        wanted: format name -> precisions.
        folder: where artifacts and logs go; made if missing.
        jobs: how many formats at a time.
    """
    make_folder(folder)
    pool = ThreadPoolExecutor(min(jobs, len(wanted)))
    try:
        # The slowest first: Core ML's converter takes longest to import.
        order = sorted(wanted, key=lambda name: name != "coreml")
        tasks = [
            pool.submit(_convert_apart, checkpoint, name, tuple(wanted[name]), folder)
            for name in order
        ]
        for task in as_completed(tasks):
            yield from task.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _convert_apart(
    checkpoint: Path, format_name: str, precisions: Sequence[str], folder: Path
) -> list[Conversion]:
    """`convert_format` in a process of its own, whose death is a failed conversion of it alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        try:
            task = process.submit(convert_format, checkpoint, format_name, precisions, folder)
            return task.result()
        except BrokenProcessPool:  # killed, for want of memory for example
            reason = f"the converter's process died (see {folder / format_name}.log)"
            return [Conversion(format_name, p, folder, 0.0, error=reason) for p in precisions]


def convert_format(
    checkpoint: Path, format_name: str, precisions: Sequence[str], folder: Path
) -> list[Conversion]:
    """Convert one format in this process; what it prints goes to ``<folder>/<format>.log``."""
    log = folder / f"{format_name}.log"
    with log.open("w", encoding="utf-8") as lines:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(lines.fileno(), 1)  # converters also print from C++
        os.dup2(lines.fileno(), 2)

        from export.graph import build_graph
        from export.metadata import model_metadata
        from pipeline.checkpoint import checkpoint_sha256, read_spec

        spec = read_spec(checkpoint)
        graph = build_graph(checkpoint, spec)
        metadata = model_metadata(spec, checkpoint_sha256(checkpoint))
        converter = FORMATS[format_name]
        conversions = []
        for precision in precisions:
            path = folder / artifact_name(spec.name, format_name, precision)
            _remove(path)
            start = time.perf_counter()
            description, error = None, None
            try:
                converter.convert(graph, spec, metadata, precision, path)
                description = converter.describe(path)
            except (ConversionFailed, Unreadable, CannotRunHere) as failure:
                error = str(failure)
            except Exception as failure:  # whatever a converter raises is a failed conversion
                traceback.print_exc()
                summary = str(failure).strip().splitlines() or [""]
                error = f"{type(failure).__name__}: {summary[0]} (see {log})"
            seconds = time.perf_counter() - start
            conversions.append(
                Conversion(format_name, precision, path, seconds, description, error)
            )
        return conversions


def _remove(path: Path) -> None:
    """A file of an earlier run must not pass for this run's."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
