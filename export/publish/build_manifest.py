"""The manifest of one asset folder, built from the facts about its artifacts.

In: the spec, and a `Published` record per artifact. Out: a `Manifest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from export.formats.description import FileEntry
from export.formats.register import FORMATS
from export.manifest.manifest import (
    ArtifactEntry,
    InputEntry,
    Manifest,
    ModelEntry,
    RejectedEntry,
    ResizeEntry,
)
from export.publish.zipped_size import zipped_bytes
from pipeline.file_hash import file_sha256
from pipeline.json_files import structure
from pipeline.metrics.bootstrap import Interval

if TYPE_CHECKING:
    from export.formats.description import Description
    from export.latency.entry import LatencyEntry
    from export.parity.check import ParityResult
    from export.parity.quality_gate import GateResult
    from pipeline.model_spec import ModelSpec

BASE_TOOLS: Final = ("numpy", "torch", "torchvision")  # besides the formats' own
WAY_OUT: Final = "train again"


@dataclass(frozen=True)
class Published:
    """All facts about an artifact when it is published."""

    format: str
    precision: str
    path: Path
    description: Description
    parity: ParityResult
    checkpoint_sha256: str
    gate_result: GateResult | None = None
    latency: LatencyEntry | None = None


def build_manifest(
    spec: ModelSpec,
    checkpoint_sha256: str,
    artifacts: Sequence[Published],
    rejected: Sequence[Published] = (),
) -> Manifest:
    """The manifest of one asset folder; `rejected` was kept back by the quality gate.

    Only `files` is empty: whoever writes the files next to the artifacts adds them, since some of
    them are made from this manifest.
    """
    return Manifest(
        model=model_entry(spec, checkpoint_sha256),
        artifacts=tuple(map(_artifact, artifacts)),
        rejected=tuple(map(_rejected, rejected)),
        tools=tool_versions(),
    )


def file_entries(folder: Path, artifact: str) -> list[FileEntry]:
    """The files of the artifact `artifact` (a file or a folder in `folder`), in sorted order."""
    root = folder / artifact
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    return [
        FileEntry(file.relative_to(folder).as_posix(), file.stat().st_size, file_sha256(file))
        for file in files
    ]


def tool_versions() -> dict[str, str]:
    """Versions of the packages that made the artifacts, as far as they are installed."""
    versions = {}
    for tool in sorted({*BASE_TOOLS, *(m for facts in FORMATS.values() for m in facts.requires)}):
        try:
            versions[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return versions


def model_entry(spec: ModelSpec, checkpoint_sha256: str) -> ModelEntry:
    """The model of a checkpoint, as manifests describe it. Raises BadInput."""
    return ModelEntry(
        name=spec.name,
        version=spec.version,
        architecture=spec.architecture,
        labels=spec.labels,
        positive=spec.positive,
        threshold=spec.threshold,
        input=InputEntry(
            name="image",
            dtype="uint8",
            layout="NHWC",
            channels="RGB",
            width=spec.resize.width,
            height=spec.resize.height,
            resize=structure(
                spec.resize.document(), ResizeEntry, "resize of the checkpoint", WAY_OUT
            ),
        ),
        checkpoint_sha256=checkpoint_sha256,
        metrics=structure(
            spec.metrics, dict[str, Interval | float], "metrics of the checkpoint", WAY_OUT
        ),
        intended_use=spec.intended_use,
        owner=spec.owner,
    )


def _artifact(artifact: Published) -> ArtifactEntry:
    entries = file_entries(artifact.path.parent, artifact.path.name)
    return ArtifactEntry(
        format=artifact.format,
        precision=artifact.precision,
        path=artifact.path.name,
        size_bytes=sum(entry.size_bytes for entry in entries),
        zipped_bytes=zipped_bytes(artifact.path),
        files=tuple(entries),
        inputs=artifact.description.inputs,
        outputs=artifact.description.outputs,
        requires=artifact.description.requires,
        checkpoint_sha256=artifact.checkpoint_sha256,
        parity=artifact.parity.entry(),
        accuracy=None if artifact.gate_result is None else artifact.gate_result.entry(),
        latency_ms=artifact.latency,
        session=FORMATS[artifact.format].session,
    )


def _rejected(artifact: Published) -> RejectedEntry:
    assert artifact.gate_result is not None
    entries = file_entries(artifact.path.parent, artifact.path.name)
    return RejectedEntry(
        format=artifact.format,
        precision=artifact.precision,
        size_bytes=sum(entry.size_bytes for entry in entries),
        accuracy=artifact.gate_result.entry(),
    )
