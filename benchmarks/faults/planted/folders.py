"""Faults of published folders: a file that the manifest does not describe, or both are wrong.

A fault is planted in every artifact of the folders at once; each gets its own verdict.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.faults.bench import Artifact, Bench, convert
from benchmarks.faults.fault import DoesNotApply, Pair, Plant, Where, anywhere, precisions
from benchmarks.faults.planted import files
from benchmarks.faults.planted.weights import another_checkpoint
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.manifest.manifest import MANIFEST_FILE, SUM_FILE, read_manifest, write_manifest
from export.parity.check import ParityResult
from export.parity.quality_gate import FULL, GateResult
from export.publish.assets import FOLDERS, publish
from export.publish.build_manifest import Published, file_entries
from export.run.beside import files_beside
from pipeline.checkpoint import write_checkpoint

PASSED: Final = ParityResult("pass", "", 13, 0.0, 0.0, 0, 0, "hard/red")
BASE: Final[Artifact] = (next(iter(FORMATS)), FULL)  # for platforms whose folder would be empty


@dataclass(frozen=True)
class FolderFault:
    """One way in which published folders are wrong or, as a control, merely differ.

    Attributes:
        name: in words.
        plant: makes the file that replaces each artifact; None: they stay.
        by: parts of the check that must catch it.
        where: the artifacts that can have it.
        rehashed: whether the manifest is made to match, as a skilled forger would.
        older: whether the checkpoint has been trained again since.
        reordered: whether the manifest's fields are in another order.
    """

    name: str
    plant: Plant | None = None
    by: tuple[str, ...] = ()
    where: Where = anywhere
    rehashed: bool = False
    older: bool = False
    reordered: bool = False


def place_of(artifact: Artifact) -> str:
    """The platform in whose folder the bench has the artifact."""
    return FORMATS[artifact[0]].platforms[0]


def publish_clean(bench: Bench, root: Path, artifacts: Sequence[Artifact]) -> None:
    """The asset folders, each artifact in one of them."""
    by_platform = {
        platform: [a for a in artifacts if place_of(a) == platform] or [BASE]
        for platform in FOLDERS
    }
    reference = bench.references.of(FULL)
    made = {
        platform: [_published(bench, artifact) for artifact in chosen]
        for platform, chosen in by_platform.items()
    }
    models = {
        platform: [(artifact.format, artifact.path) for artifact in artifacts]
        for platform, artifacts in made.items()
    }
    with TemporaryDirectory() as optimised:
        extras = files_beside({}, bench.golden, models, Path(optimised))
        publish(root, reference.spec, reference.checkpoint_sha256, made, extras=extras)


def _published(bench: Bench, artifact: Artifact) -> Published:
    path = bench.clean(artifact)
    described = verbs_of(artifact[0]).describe(path)
    gate_result = None if artifact[1] == FULL else GateResult("parity", {})
    identity = bench.reference(artifact).checkpoint_sha256
    return Published(*artifact, path, described, PASSED, identity, gate_result)


def plant_in(
    fault: FolderFault, bench: Bench, root: Path, artifacts: Sequence[Artifact], spare: Path
) -> dict[Artifact, str]:
    """Publish below `root`, then plant; return the artifacts left out, each with the reason."""
    publish_clean(bench, root, artifacts)
    excused: dict[Artifact, str] = {}
    for artifact in artifacts:
        folder = root / FOLDERS[place_of(artifact)]
        if fault.plant is not None:
            try:
                made = fault.plant(bench, artifact, _empty(spare, artifact)).path
            except DoesNotApply as reason:
                excused[artifact] = str(reason)
                continue
            target = folder / made.name
            if target.is_dir():
                shutil.rmtree(target)
            shutil.move(made, target)
            if fault.rehashed:
                rehash(folder, target.name)
        if fault.reordered:
            reorder(folder)
    return excused


def _empty(spare: Path, artifact: Artifact) -> Path:
    folder = spare / "-".join(artifact)
    folder.mkdir(parents=True)
    return folder


def rehash(folder: Path, name: str) -> None:
    """Make the manifest match the file that is there now."""
    manifest = read_manifest(folder)
    files = tuple(file_entries(folder, name))
    size = sum(file.size_bytes for file in files)
    artifacts = tuple(
        replace(entry, files=files, size_bytes=size) if entry.path == name else entry
        for entry in manifest.artifacts
    )
    write_manifest(folder, replace(manifest, artifacts=artifacts))


def reorder(folder: Path) -> None:
    """Put the manifest's fields in an order that we do not write."""
    path = folder / MANIFEST_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    content = json.dumps(dict(reversed(document.items()))).encode()
    path.write_bytes(content)
    line = f"{hashlib.sha256(content).hexdigest()}  {MANIFEST_FILE}\n"
    (folder / SUM_FILE).write_text(line, encoding="utf-8")


def write_another_checkpoint(bench: Bench, folder: Path) -> Path:
    """The checkpoint after another training."""
    folder.mkdir(parents=True, exist_ok=True)
    other = another_checkpoint(bench.references.of(FULL))
    write_checkpoint(folder, other.spec, other.graph.pixels.network.state_dict())
    return folder


def of_an_older_training(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
    """The file of another checkpoint, by the converter."""
    older = bench.wrong(another_checkpoint, artifact)
    return Pair(convert(artifact, older, folder), bench.reference(artifact))


CONVERTED: Final = precisions("another checkpoint is converted in fp32 alone", FULL)
FLIPPED_BIT: Final = files.changed_weight(files.flip_a_bit)
FLIPPED_BYTE: Final = files.changed_weight(files.flip_a_byte)
HEADER: Final = files.damaged_content(files.damage_header)
HALF: Final = files.damaged_content(files.cut_in_half)
FAULTS: Final = (
    FolderFault("published, one bit of a weight flipped", FLIPPED_BIT, ("files",)),
    FolderFault("published, one byte of a weight flipped", FLIPPED_BYTE, ("files",)),
    FolderFault("published, header damaged", HEADER, ("files",)),
    FolderFault("published, cut in half", HALF, ("files",)),
    FolderFault(
        "published, an old file under a new manifest", of_an_older_training, ("files",), CONVERTED
    ),
    FolderFault(
        "published, one bit of a weight flipped, hash renewed",
        FLIPPED_BIT,
        ("weights",),
        rehashed=True,
    ),
    FolderFault(
        "published, one byte of a weight flipped, hash renewed",
        FLIPPED_BYTE,
        ("weights",),
        rehashed=True,
    ),
    FolderFault(
        "published, an old file, hash renewed",
        of_an_older_training,
        ("contract", "weights"),
        CONVERTED,
        rehashed=True,
    ),
    FolderFault("published, file and manifest of an older training", by=("manifest",), older=True),
)
CONTROLS: Final = (
    FolderFault("published"),
    FolderFault("published, manifest in another order", reordered=True),
)
