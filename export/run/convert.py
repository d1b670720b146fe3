"""Conversions, each family of formats in its own process, and the proof of each file there.

In: a checkpoint folder and the artifacts wanted. Out: one `Conversion` per artifact, done or
failed, with its parity where references are given. A fresh process keeps the converters' names and
counters, and so the bytes they write, the same from run to run; it sends their output to a log, and
the packages imported to convert are used to check. Formats that need the same packages share one.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import cache
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Final

from export.errors import CannotRunHere, ConversionFailed, Unreadable
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.parity.outcome import Conversion
from export.run import converter_imports
from pipeline.atomic_files import make_folder
from pipeline.terminal.end_with_parent import end_with_parent

if TYPE_CHECKING:
    from export.deploy.graph import DeployGraph
    from export.parity.reference import References
    from pipeline.checkpoint import Checkpoint

Wanted = Mapping[str, Sequence[str]]  # format name -> precisions
POLL_S: Final = 0.5
# Forked from a process that has done nothing but import, not from this one with its threads; where
# that is not to be had, started anew.
START: Final = "forkserver" if sys.platform == "linux" else "spawn"
_held: list[References] = []  # in a process that checks


def artifact_name(model: str, format_name: str, precision: str) -> str:
    """File or folder name of an artifact, such as ``squeezenet_cxr_fp32.onnx``."""
    return f"{model}_{precision}{FORMATS[format_name].suffix}"


def begin_imports(wanted: Wanted) -> None:
    """Let what converters need be imported while something else is done here."""
    if START == "forkserver":
        converter_imports.begin(p for name in wanted for p in FORMATS[name].requires)


def convert_all(
    checkpoint: Checkpoint,
    wanted: Wanted,
    folder: Path,
    jobs: int,
    references: Future[References] | None = None,
) -> Iterator[Conversion]:
    """Convert, check if there are references, and yield artifacts as they are finished.

    Args:
        checkpoint: the processes get a copy of it, and parse nothing again.
        wanted: format name -> precisions.
        folder: where artifacts and logs go; made if missing.
        jobs: processes that run at a time.
        references: with the answers of every variant, for the check; None: no check.
    """
    begin_imports(wanted)
    make_folder(folder)
    families: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name, precisions in wanted.items():
        _log(folder, name).unlink(missing_ok=True)
        families.setdefault(FORMATS[name].requires, []).extend((name, p) for p in precisions)
    # The slowest converter to start comes first.
    order = sorted(families.values(), key=lambda family: -FORMATS[family[0][0]].converter_start_s)
    finished: Queue[Conversion] = Queue()
    pool = ThreadPoolExecutor(min(jobs, len(order)))
    try:
        tasks = [
            pool.submit(_family, checkpoint, family, folder, references, finished.put)
            for family in order
        ]
        for _ in range(sum(len(family) for family in order)):
            yield _next(finished, tasks)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _next(finished: Queue[Conversion], tasks: Sequence[Future[None]]) -> Conversion:
    """The next one that is finished; raises an error of our own threads."""
    while True:
        try:
            return finished.get(timeout=POLL_S)
        except Empty:
            for task in tasks:
                if task.done():
                    task.result()


def _family(
    checkpoint: Checkpoint,
    artifacts: Sequence[tuple[str, str]],
    folder: Path,
    references: Future[References] | None,
    tell: Callable[[Conversion], None],
) -> None:
    """Convert, then check, all of a family in one process, which may die."""
    context = multiprocessing.get_context(START)
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin) as process:
        done = []
        for name, precision in artifacts:
            try:
                task = process.submit(convert_artifact, checkpoint, name, precision, folder)
                done.append(task.result())
            except BrokenProcessPool:  # killed, out of memory for example
                error = f"the converter's process died (see {_log(folder, name)})"
                done.append(Conversion(name, precision, folder, 0.0, error=error))
        given = False  # the references, to the process
        for conversion in done:
            if references is None or conversion.error is not None:
                tell(conversion)
                continue
            held = references.result()
            try:
                if not given:
                    process.submit(hold, held).result()
                    given = True
                tell(process.submit(check_conversion, conversion).result())
            except BrokenProcessPool:
                error = f"the process that checked it died (see {_log(folder, conversion.format)})"
                tell(replace(conversion, error=error))


def _begin() -> None:
    """In a process that converts; one that was started anew has yet to import torch and numpy."""
    end_with_parent()
    os.environ.update(converter_imports.ONE_THREAD)


def convert_artifact(checkpoint: Checkpoint, name: str, precision: str, folder: Path) -> Conversion:
    """Convert in this process; all output goes to the format's log in `folder`."""
    _print_to(_log(folder, name))
    from export.deploy.metadata import model_metadata
    from export.deploy.variants import variant_checkpoint

    variant = FORMATS[name].precisions[precision].variant
    held, graph = variant_checkpoint(checkpoint, variant), _graph(checkpoint, variant)
    metadata = model_metadata(held.spec, held.sha256)
    path = folder / artifact_name(held.spec.name, name, precision)
    _remove(path)
    start = time.perf_counter()
    description, error = None, None
    try:
        verbs = verbs_of(name)
        verbs.convert(graph, held.spec, metadata, precision, path)
        description = verbs.describe(path)
    except (ConversionFailed, Unreadable, CannotRunHere) as failure:
        error = str(failure)
    except Exception as failure:  # any exception of a converter is a failed conversion
        traceback.print_exc()
        summary = str(failure).strip().splitlines() or [""]
        error = f"{type(failure).__name__}: {summary[0]} (see {_log(folder, name)})"
    seconds = time.perf_counter() - start
    return Conversion(name, precision, path, seconds, description, error)


def hold(references: References) -> None:
    """Keep what this process checks its files with."""
    _held.append(references)


def check_conversion(conversion: Conversion) -> Conversion:
    """The conversion with its parity, checked in this process."""
    from export.parity.check import check_artifact

    name, precision = conversion.format, conversion.precision
    reference = _held[-1].of(FORMATS[name].precisions[precision].variant)
    return replace(conversion, parity=check_artifact(name, precision, conversion.path, reference))


@cache
def _graph(checkpoint: Checkpoint, variant: str) -> DeployGraph:
    from export.deploy.variants import variant_graph

    return variant_graph(checkpoint, variant)


def _log(folder: Path, name: str) -> Path:
    return folder / f"{name}.log"


def _print_to(log: Path) -> None:
    with log.open("a", encoding="utf-8") as lines:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(lines.fileno(), 1)  # converters also print from C++
        os.dup2(lines.fileno(), 2)


def _remove(path: Path) -> None:
    """A file of an earlier run must not pass for this run's."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
