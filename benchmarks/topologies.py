"""Every topology through the whole of ``python -m export all``: what it takes, what comes out.

In: names of architectures and a side. Out: a row for each: wall time, processor time and peak
memory of all processes, and of every artifact its verdict, its size and how far it is from PyTorch.
Weights are drawn (`benchmarks.drawn_network`): what it takes does not depend on what was learnt.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import machine
from benchmarks.process_tree import run_watched
from export.manifest import tool_versions
from pipeline.checkpoint import ModelSpec
from pipeline.errors import BadInput
from pipeline.networks import NETWORKS

SCHEMA: Final = 1
MEAN: Final = (0.485, 0.456, 0.406)  # of ImageNet, as in training
STD: Final = (0.229, 0.224, 0.225)
SETTINGS: Final = ("side", "images", "jobs")
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class TopologiesRequest:
    """What is measured.

    Attributes:
        architectures: names of `pipeline.networks`; empty: all.
        side: of the images, in pixels.
        images: validation images for parity, beside the golden and hard ones.
        jobs: converters at a time.
        build: for checkpoints, artifacts and logs; files of an earlier run are replaced.
    """

    architectures: tuple[str, ...]
    side: int
    images: int
    jobs: int
    build: Path


def measure_topologies(
    request: TopologiesRequest, progress: Callable[[str], None] = lambda text: None
) -> Iterator[dict[str, Any]]:
    """Export one topology after the other; after each the document so far, as in the JSON.

    Raises:
        BadInput: an unknown architecture, or a side or a number of images below 1.
    """
    unknown = [name for name in request.architectures if name not in NETWORKS]
    if unknown:
        raise BadInput(f"no architecture {unknown[0]!r}; there are: {', '.join(NETWORKS)}")
    if min(request.side, request.images, request.jobs) < 1:
        raise BadInput("--side, --images and --jobs need at least 1")
    data = _images(request)
    rows = []
    for name in request.architectures or NETWORKS:
        progress(f"{name}, {request.side} px")
        rows.append(_row(name, request, data))
        yield {
            "schema": SCHEMA,
            "machine": machine(),
            "tools": tool_versions(),
            "settings": {key: value for key, value in asdict(request).items() if key in SETTINGS},
            "rows": rows,
        }


def to_json(document: Mapping[str, Any]) -> str:
    """Sorted, indented, newline at the end."""
    return json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n"


def summary(row: Mapping[str, Any]) -> str:
    """One line for people."""
    counts = ", ".join(f"{count} {word}" for word, count in row["verdicts"].items())
    if not counts:
        counts = f"no report, exit code {row['exit_code']}; see its export.log"
    return (
        f"{row['architecture']}: {row['seconds']:.0f} s ({row['cpu_seconds']:.0f} s of a core), "
        f"{row['peak_mib']:.0f} MiB, {row['parameters'] / 1e6:.1f} million parameters; {counts}"
    )


def _images(request: TopologiesRequest) -> Path:
    """A data set of phantoms."""
    import shutil

    from pipeline import phantom

    folder = request.build / "phantoms"
    if folder.is_dir():
        shutil.rmtree(folder)
    phantom.write_dataset(folder, train=len(phantom.LABELS), valid=request.images)
    return folder


def _row(architecture: str, request: TopologiesRequest, data: Path) -> dict[str, Any]:
    from benchmarks.drawn_network import write_drawn_checkpoint
    from pipeline import phantom
    from pipeline.checkpoint import read_weights
    from pipeline.placement import staged_folder

    place = request.build / architecture
    spec = ModelSpec(
        name=f"drawn_{architecture}",
        version="0",
        architecture=architecture,
        labels=phantom.LABELS,
        positive=phantom.LABELS[0],
        threshold=0.5,
        side=request.side,
        mean=MEAN,
        std=STD,
        intended_use="None: its weights are drawn at random, to measure what an export takes.",
    )
    with staged_folder(place) as staging:
        write_drawn_checkpoint(staging / "checkpoint", spec)
    parameters = sum(tensor.numel() for tensor in read_weights(place / "checkpoint").values())
    command: list[str | Path] = [sys.executable, "-m", "export", "all", "--no-latency"]
    command += ["--checkpoint", place / "checkpoint", "--data", data, "--jobs", str(request.jobs)]
    command += ["--out", place / "assets", "--build", place / "build"]
    log = place / "export.log"
    variables = {**os.environ, **dict.fromkeys(THREADS, "1")}
    used = run_watched(command, log, variables)
    report = place / "build" / "report.json"
    artifacts = (
        json.loads(report.read_text(encoding="utf-8"))["artifacts"] if report.exists() else []
    )
    verdicts = [artifact["verdict"] for artifact in artifacts]
    return {
        "architecture": architecture,
        "parameters": parameters,
        "seconds": round(used.seconds, 1),
        "cpu_seconds": round(used.cpu_seconds, 1),
        "peak_mib": round(used.peak_mib),
        "exit_code": used.code,
        "verdicts": {word: verdicts.count(word) for word in sorted(set(verdicts))},
        "artifacts": [_artifact(artifact) for artifact in artifacts],
    }


def _artifact(row: Mapping[str, Any]) -> dict[str, Any]:
    parity = row["parity"]
    return {
        "format": row["format"],
        "precision": row["precision"],
        "verdict": row["verdict"],
        "reason": parity["reason"],
        "size_bytes": row["size_bytes"],
        "max_abs_diff": parity["max_abs_diff"],
    }
