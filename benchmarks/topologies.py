"""Every topology through the whole of ``python -m export all``: what it takes, and the results.

In: names of architectures and a side, or trained checkpoints. Out: a row for each: wall time,
processor time and peak memory of all processes, and for every artifact its verdict, its size and
its difference from PyTorch. Without checkpoints weights are random (`benchmarks.drawn_network`):
the cost does not depend on what was learnt. The difference between fp16 and fp32 does: for that,
give trained checkpoints.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.process_tree import run_watched
from export.latency.machine import Machine, machine
from export.publish.build_manifest import tool_versions
from export.report.report import Verdict, read_report
from pipeline.errors import BadInput
from pipeline.model_spec import ModelSpec
from pipeline.models.networks import NETWORKS
from pipeline.resize.rule import Resize, Size

if TYPE_CHECKING:
    from export.report.report import Artifact

SCHEMA: Final = 2
MEAN: Final = (0.485, 0.456, 0.406)  # of ImageNet, as in training
STD: Final = (0.229, 0.224, 0.225)
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class TopologiesRequest:
    """What is measured.

    Attributes:
        architectures: names of `pipeline.models.networks`; empty: all. Not with `checkpoints`.
        side: of the images of drawn networks, in pixels.
        images: validation images for parity at most, besides the golden and hard ones.
        jobs: converters at a time.
        build: for checkpoints, artifacts and logs; files of an earlier run are replaced.
        checkpoints: folders of trained networks, exported instead of random ones.
        data: the images they were trained on; None: the embedded phantoms.
    """

    architectures: tuple[str, ...]
    side: int
    images: int
    jobs: int
    build: Path
    checkpoints: tuple[Path, ...] = ()
    data: Path | None = None


@dataclass(frozen=True)
class Subject:
    """One network to export.

    Attributes:
        name: of its row and of its folder in the build.
        spec: of its checkpoint.
        checkpoint: its folder; None: its weights are drawn.
    """

    name: str
    spec: ModelSpec
    checkpoint: Path | None = None


@dataclass(frozen=True)
class ArtifactRow:
    """The results of one artifact; see `export.report.report.Artifact`.

    Attributes:
        evidence_diff: largest difference of evidence, as a share of its largest value.
    """

    format: str
    precision: str
    verdict: Verdict
    reason: str
    size_bytes: int | None
    max_abs_diff: float | None
    evidence_diff: float | None


@dataclass(frozen=True)
class TopologyRow:
    """What the export of one network took, and its results.

    Attributes:
        side: of its images, in pixels.
        seconds: wall time; cpu_seconds: of all processes; peak_mib: of their memory.
        verdicts: verdict -> number of artifacts; empty if there is no report.
    """

    architecture: str
    name: str
    side: Size
    parameters: int
    seconds: float
    cpu_seconds: float
    peak_mib: int
    exit_code: int
    verdicts: Mapping[str, int]
    artifacts: tuple[ArtifactRow, ...]


@dataclass(frozen=True)
class Settings:
    """How networks were exported; `weights` is ``drawn`` or ``trained``."""

    images: int
    jobs: int
    weights: str
    data: str


@dataclass(frozen=True)
class Topologies:
    """All rows so far, and where and how they were measured."""

    machine: Machine
    tools: Mapping[str, str]
    settings: Settings
    rows: tuple[TopologyRow, ...]
    schema: int = SCHEMA


def measure_topologies(
    request: TopologiesRequest, progress: Callable[[str], None] = lambda text: None
) -> Iterator[Topologies]:
    """Export one network after the other; yield all results so far after each.

    Raises:
        BadInput: an unknown architecture; a side or a number of images below 1; a folder that is
            not a checkpoint or lies in `build`; two folders of one name; data without checkpoints.
    """
    if min(request.side, request.images, request.jobs) < 1:
        raise BadInput("--side, --images and --jobs need at least 1")
    subjects = _trained(request) if request.checkpoints else _to_be_drawn(request)
    data = request.data if request.checkpoints else _phantoms(request)
    settings = Settings(
        images=request.images,
        jobs=request.jobs,
        weights="trained" if request.checkpoints else "drawn",
        data=data.resolve().name if data else "phantoms",
    )
    rows: tuple[TopologyRow, ...] = ()
    for subject in subjects:
        progress(f"{subject.name}, {subject.spec.resize.pixels} px")
        rows = (*rows, _row(subject, request, data))
        yield Topologies(machine(), tool_versions(), settings, rows)


def summary(row: TopologyRow) -> str:
    """One line for people."""
    counts = ", ".join(f"{count} {word}" for word, count in row.verdicts.items())
    if not counts:
        counts = f"no report, exit code {row.exit_code}; see its export.log"
    return (
        f"{row.name}: {row.seconds:.0f} s ({row.cpu_seconds:.0f} s of a core), "
        f"{row.peak_mib:.0f} MiB, {row.parameters / 1e6:.1f} million parameters; {counts}"
    )


def _to_be_drawn(request: TopologiesRequest) -> list[Subject]:
    from pipeline.data import phantom

    if request.data is not None:
        raise BadInput("--data needs --checkpoints: drawn networks are exported with phantoms")
    unknown = [name for name in request.architectures if name not in NETWORKS]
    if unknown:
        raise BadInput(f"no architecture {unknown[0]!r}; there are: {', '.join(NETWORKS)}")
    return [
        Subject(
            architecture,
            ModelSpec(
                name=f"drawn_{architecture}",
                version="0",
                architecture=architecture,
                labels=phantom.LABELS,
                positive=phantom.LABELS[0],
                threshold=0.5,
                resize=Resize(request.side, request.side),
                mean=MEAN,
                std=STD,
                intended_use="None: its weights are drawn at random, to measure an export.",
            ),
        )
        for architecture in request.architectures or NETWORKS
    ]


def _trained(request: TopologiesRequest) -> list[Subject]:
    from pipeline.checkpoint import open_checkpoint

    if request.architectures:
        raise BadInput("--only chooses among drawn networks; name fewer --checkpoints")
    build = request.build.resolve()
    for folder in request.checkpoints:
        if folder.resolve().is_relative_to(build):
            raise BadInput(f"{folder} is in {request.build}, which is replaced; give another --out")
    subjects = [
        Subject(folder.resolve().name, open_checkpoint(folder).spec, folder)
        for folder in request.checkpoints
    ]
    twice = [name for name, count in Counter(s.name for s in subjects).items() if count > 1]
    if twice:
        raise BadInput(f"two checkpoints are named {twice[0]}: their files would mix")
    return subjects


def _phantoms(request: TopologiesRequest) -> Path:
    """A data set of phantoms."""
    import shutil

    from pipeline.data import phantom

    folder = request.build / "phantoms"
    if folder.is_dir():
        shutil.rmtree(folder)
    phantom.write_dataset(folder, train=len(phantom.LABELS), valid=request.images)
    return folder


def _row(subject: Subject, request: TopologiesRequest, data: Path | None) -> TopologyRow:
    from benchmarks.drawn_network import write_drawn_checkpoint
    from pipeline.atomic_files import staged_folder
    from pipeline.checkpoint import open_checkpoint

    place = request.build / subject.name
    checkpoint = subject.checkpoint or place / "checkpoint"
    with staged_folder(place) as staging:
        if subject.checkpoint is None:
            write_drawn_checkpoint(staging / checkpoint.name, subject.spec)
    weights = open_checkpoint(checkpoint).weights()
    parameters = sum(tensor.numel() for tensor in weights.values())
    command: list[str | Path] = [sys.executable, "-m", "export", "all", "--no-latency"]
    command += ["--checkpoint", checkpoint, "--images", str(request.images)]
    command += ["--data", data] if data else []
    command += ["--jobs", str(request.jobs)]
    command += ["--out", place / "assets", "--build", place / "build"]
    log = place / "export.log"
    variables = {**os.environ, **dict.fromkeys(THREADS, "1")}
    used = run_watched(command, log, variables)
    report = place / "build" / "report.json"
    artifacts = read_report(report).artifacts if report.exists() else ()
    verdicts = [artifact.verdict for artifact in artifacts]
    return TopologyRow(
        architecture=subject.spec.architecture,
        name=subject.name,
        side=subject.spec.side,
        parameters=parameters,
        seconds=round(used.seconds, 1),
        cpu_seconds=round(used.cpu_seconds, 1),
        peak_mib=round(used.peak_mib),
        exit_code=used.code,
        verdicts={word: verdicts.count(word) for word in sorted(set(verdicts))},
        artifacts=tuple(map(_artifact, artifacts)),
    )


def _artifact(artifact: Artifact) -> ArtifactRow:
    parity = artifact.parity
    return ArtifactRow(
        format=artifact.format,
        precision=artifact.precision,
        verdict=artifact.verdict,
        reason=parity.reason,
        size_bytes=artifact.size_bytes,
        max_abs_diff=parity.max_abs_diff,
        evidence_diff=parity.evidence.max_rel_diff if parity.evidence else None,
    )
