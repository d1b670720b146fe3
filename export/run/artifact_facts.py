"""What is known about an exported file before it is asked: by its manifest, or by the file itself.

In: files and packages, or asset folders for all of their artifacts. Out: `Listed` for each, and
`ArtifactFacts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from export.deploy.metadata import labels_in, resize_in
from export.errors import Unreadable
from export.formats.register import FORMATS
from export.manifest.manifest import MANIFEST_FILE, ArtifactEntry, Manifest, read_manifest
from export.verify import unsafe
from pipeline.errors import BadInput
from pipeline.predict.image_files import kind_of
from pipeline.predict.prediction import LabelRule

if TYPE_CHECKING:
    from pathlib import Path

    from export.formats.facts import Precision
    from pipeline.resize.rule import Resize

SUFFIXES: Final[Mapping[str, str]] = {facts.suffix: name for name, facts in FORMATS.items()}


@dataclass(frozen=True)
class Listed:
    """A file or package that was asked for.

    Attributes:
        path: as it was given, or in the folder that was given.
        entry: its place in the manifest beside it; None: there is no manifest.
        manifest: that manifest.
    """

    path: Path
    format: str
    entry: ArtifactEntry | None = None
    manifest: Manifest | None = None


@dataclass(frozen=True)
class ArtifactFacts:
    """What a file needs and means.

    Attributes:
        precision: None: not known, without a manifest.
        model, version: of the model that it is made from.
        checkpoint_sha256: of the checkpoint that it holds.
        intended_use: what the model may be used for; empty: the file does not say.
        rule: how its probabilities become a label.
        resize: how an image becomes its input.
    """

    format: str
    precision: str | None
    model: str
    version: str
    checkpoint_sha256: str
    intended_use: str
    rule: LabelRule
    resize: Resize

    @property
    def known_precision(self) -> Precision | None:
        """Variant and tolerance of the precision; None: the precision is not known."""
        return FORMATS[self.format].precisions.get(self.precision or "")


def listed_artifacts(places: Sequence[Path]) -> list[Listed]:
    """The artifacts at `places`, each a file, a package, or an asset folder for all in it.

    Raises:
        BadInput: there is none, a manifest is damaged, or a file is not in the manifest beside it.
    """
    found: dict[Path, Listed] = {}
    for place in places:
        for artifact in _at(place):
            found.setdefault(artifact.path, artifact)
    return list(found.values())


def _at(place: Path) -> list[Listed]:
    if kind_of(place) == "nothing":
        raise BadInput(f"{place} does not exist; give an exported file or an asset folder")
    if place.suffix in SUFFIXES:
        return [_file(place)]
    if (place / MANIFEST_FILE).is_file():
        manifest = read_manifest(place)
        if not manifest.artifacts:
            raise BadInput(f"{place / MANIFEST_FILE} lists no artifact")
        return [_entry(place, entry, manifest) for entry in manifest.artifacts]
    raise BadInput(
        f"{place} is no exported file ({', '.join(SUFFIXES)}) and no asset folder with a "
        f"{MANIFEST_FILE}"
    )


def _file(path: Path) -> Listed:
    folder = path.parent
    if not (folder / MANIFEST_FILE).is_file():
        return Listed(path, SUFFIXES[path.suffix])
    manifest = read_manifest(folder)
    for entry in manifest.artifacts:
        if entry.path == path.name:
            return _entry(folder, entry, manifest)
    raise BadInput(
        f"{folder / MANIFEST_FILE} does not list {path.name}, so that its hash cannot be compared; "
        "export again, or move the file to a folder of its own"
    )


def _entry(folder: Path, entry: ArtifactEntry, manifest: Manifest) -> Listed:
    where = folder / MANIFEST_FILE
    if entry.format not in FORMATS:
        raise BadInput(f"{where} lists {entry.format}, unknown to this version")
    for file in entry.files:
        if reason := unsafe(file.path):
            raise BadInput(f"{where} is damaged: the path of a file {reason}")
    if reason := unsafe(entry.path) or ("is in a folder" if "/" in entry.path else ""):
        raise BadInput(f"{where} is damaged: the path of an artifact {reason}")
    return Listed(folder / entry.path, entry.format, entry, manifest)


def facts_of_entry(entry: ArtifactEntry, manifest: Manifest) -> ArtifactFacts:
    """As the manifest says."""
    model = manifest.model
    return ArtifactFacts(
        entry.format,
        entry.precision,
        model.name,
        model.version,
        entry.checkpoint_sha256,
        model.intended_use,
        LabelRule(model.labels, model.positive, model.threshold),
        model.input.rule,
    )


def facts_of_metadata(format_name: str, metadata: Mapping[str, str], name: str) -> ArtifactFacts:
    """As the file says of itself, in the metadata of `model_metadata`; `name` is for messages.

    Raises:
        Unreadable: labels, threshold or the size of the input are not there.
    """
    labels, resize = labels_in(metadata), resize_in(metadata)
    if not labels or resize is None:
        raise Unreadable(
            f"{name} does not say its labels and how an image becomes its input, as a file of this "
            "project does; give it in its asset folder"
        )
    positive, threshold = metadata.get("positive"), None
    if positive is not None:
        try:
            threshold = float(metadata["threshold"])
        except (KeyError, ValueError) as error:
            raise Unreadable(f"{name} has a positive label and no threshold") from error
        if positive not in labels:
            raise Unreadable(f"{name}: positive label {positive!r} is not among its labels")
    return ArtifactFacts(
        format_name,
        None,
        metadata.get("model", name),
        metadata.get("version", ""),
        metadata.get("checkpoint_sha256", ""),
        metadata.get("intended_use", ""),
        LabelRule(labels, positive, threshold),
        resize,
    )
