"""Run one row of the table: plant a fault in each artifact, check as a user would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.faults.bench import Artifact, Bench
from benchmarks.faults.fault import DoesNotApply, Fault
from benchmarks.faults.planted.folders import (
    FolderFault,
    place_of,
    plant_in,
    write_another_checkpoint,
)
from export.manifest.manifest import read_manifest
from export.parity.check import ParityResult, check_artifact
from export.publish.assets import FOLDERS
from export.run.check_published import check_published, damaged_files


@dataclass(frozen=True)
class FaultCell:
    """The result of one fault in one artifact.

    Attributes:
        fault: its name.
        artifact: format and precision.
        caught_by: parts of the check that did not pass; empty: it passed.
        reason: what the check says.
        excuse: why the fault was not planted there; empty: it was planted.
    """

    fault: str
    artifact: Artifact
    caught_by: tuple[str, ...] = ()
    reason: str = ""
    excuse: str = ""

    @property
    def planted(self) -> bool:
        """Whether there is a verdict."""
        return not self.excuse


def judge(
    fault: Fault | FolderFault, bench: Bench, artifacts: Sequence[Artifact]
) -> list[FaultCell]:
    """A cell for each of the artifacts, in their order."""
    excused = {a: bench.absent(a) or fault.where(a) for a in artifacts}
    planted = [artifact for artifact in artifacts if not excused[artifact]]
    cells = {a: FaultCell(fault.name, a, excuse=excuse) for a, excuse in excused.items() if excuse}
    bench.folder.mkdir(parents=True, exist_ok=True)
    if planted:
        with TemporaryDirectory(dir=bench.folder) as folder:
            judged = (
                _in_files(fault, bench, planted, Path(folder))
                if isinstance(fault, Fault)
                else _in_folders(fault, bench, planted, Path(folder))
            )
            cells |= {cell.artifact: cell for cell in judged}
    return [cells[artifact] for artifact in artifacts]


def _in_files(
    fault: Fault, bench: Bench, artifacts: Sequence[Artifact], folder: Path
) -> Iterator[FaultCell]:
    for artifact in artifacts:
        place = folder / "-".join(artifact)
        place.mkdir()
        try:
            pair = fault.plant(bench, artifact, place)
        except DoesNotApply as reason:
            yield FaultCell(fault.name, artifact, excuse=str(reason))
            continue
        read = bench.reading(artifact, pair.path)
        result = check_artifact(*artifact, pair.path, pair.reference, reading=read)
        yield FaultCell(fault.name, artifact, caught_by(result), result.reason)


def _in_folders(
    fault: FolderFault, bench: Bench, artifacts: Sequence[Artifact], folder: Path
) -> Iterator[FaultCell]:
    root = folder / "assets"
    excused = plant_in(fault, bench, root, artifacts, folder / "spare")
    checkpoint = bench.references.checkpoint.folder
    if fault.older:
        checkpoint = write_another_checkpoint(bench, folder / "checkpoint")
    rows, _ = check_published(root, checkpoint, _labelled_images(bench, folder / "data"), 0)
    found = {(row.format, row.precision, row.place): row.parity for row in rows}
    for artifact in artifacts:
        if artifact in excused:
            yield FaultCell(fault.name, artifact, excuse=excused[artifact])
            continue
        result = found[*artifact, place_of(artifact)]
        parts = _caught_in_folder(result, root / FOLDERS[place_of(artifact)], artifact)
        yield FaultCell(fault.name, artifact, parts, result.reason)


def caught_by(result: ParityResult) -> tuple[str, ...]:
    """The parts that did not pass; `reading` if the check did not get to any part."""
    if result.status == "pass":
        return ()
    parts = tuple(sorted(part for part, verdict in result.parts.items() if verdict != "pass"))
    return parts or ("reading",)


def _caught_in_folder(result: ParityResult, folder: Path, artifact: Artifact) -> tuple[str, ...]:
    """As `caught_by`, or `files` or `manifest` if one of these kept the file from being read."""
    parts = caught_by(result)
    if parts != ("reading",) or result.parts:
        return parts
    entries = read_manifest(folder).artifacts
    (entry,) = [entry for entry in entries if (entry.format, entry.precision) == artifact]
    if damaged_files(folder, entry):
        return ("files",)
    return ("manifest",) if result.reason.startswith("made from another checkpoint") else parts


def _labelled_images(bench: Bench, folder: Path) -> Path:
    """A data set with the model's labels; its images are not used, since hard ones are enough."""
    for split in ("train", "valid"):
        for label in bench.spec.labels:
            place = folder / split / label
            place.mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place / "black.png")
    return folder
