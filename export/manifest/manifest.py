"""The manifest: what an app developer's tools read. Sorted JSON, defined by a JSON Schema.

In: an asset folder, or a `Manifest` (`export.publish.build_manifest` makes one). Out: a `Manifest`,
or the files. The schema file alone describes the fields; docs/manifest.md is made from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from export.formats.description import FileEntry, Port
from export.latency.entry import LatencyEntry
from export.parity.entries import AccuracyEntry, ParityEntry, parity_json
from pipeline.atomic_files import write_text
from pipeline.errors import BadInput
from pipeline.json_files import JsonObject, plain, read_json, structure, to_json, validate
from pipeline.metrics.bootstrap import Interval
from pipeline.model_spec import Owner
from pipeline.resize.rule import Resize

SCHEMA: Final = 3
READABLE: Final = (2, SCHEMA)
MANIFEST_FILE: Final = "manifest.json"
SUM_FILE: Final = f"{MANIFEST_FILE}.sha256"
SCHEMA_FILE: Final = Path(__file__).parent / "manifest.schema.json"
WAY_OUT: Final = "export again: `python -m export all` makes them, in build/export/assets"


@dataclass(frozen=True)
class ResizeEntry:
    """How an image becomes the input's width x height, outside the model (`pipeline.resize`).

    `fill` and `margin` are stated only of the modes that have one.
    """

    mode: str
    filter: str
    antialias: bool
    fill: str | None = None
    margin: int = 0


@dataclass(frozen=True)
class InputEntry:
    """The pixels that every artifact takes; `width` and `height` in pixels."""

    name: str
    dtype: str
    layout: str
    channels: str
    width: int
    height: int
    resize: ResizeEntry

    @property
    def rule(self) -> Resize:
        """How an image becomes the input."""
        return Resize(
            self.height, self.width, self.resize.mode, self.resize.fill, self.resize.margin
        )


@dataclass(frozen=True)
class ModelEntry:
    """The model that all artifacts are made from.

    Attributes:
        labels: in the order of the outputs.
        positive, threshold: None: decide by the most probable label.
        checkpoint_sha256: identity of the checkpoint.
        metrics: on the validation images.
        owner: the owner's words; None: the manifest is of before there were any.
    """

    name: str
    version: str
    architecture: str
    labels: tuple[str, ...]
    positive: str | None
    threshold: float | None
    input: InputEntry
    checkpoint_sha256: str
    metrics: Mapping[str, Interval | float]
    intended_use: str
    owner: Owner | None = None

    @property
    def words(self) -> Owner:
        """The owner's words, or neutral ones."""
        return self.owner or Owner()

    @property
    def rule(self) -> Resize:
        """How an image becomes the input."""
        return self.input.rule


@dataclass(frozen=True)
class ArtifactEntry:
    """One published file or package.

    Attributes:
        path: relative to the asset folder.
        files: all its files.
        requires: the least runtime or OS that loads it, and the versions it is written in.
        checkpoint_sha256: of the checkpoint that it is made from, the model's or a compressed one.
        accuracy: None for fp32.
        latency_ms: None: not measured.
        session: options that the app should set in its runtime.
        zipped_bytes: as a zip archive; None in schema 2.
    """

    format: str
    precision: str
    path: str
    size_bytes: int
    files: tuple[FileEntry, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    requires: Mapping[str, str | int]
    checkpoint_sha256: str
    parity: ParityEntry
    accuracy: AccuracyEntry | None
    latency_ms: LatencyEntry | None
    session: Mapping[str, str | int]
    zipped_bytes: int | None = None


@dataclass(frozen=True)
class RejectedEntry:
    """An artifact that was proven but lost too much accuracy; the reasons are in `accuracy`."""

    format: str
    precision: str
    size_bytes: int
    accuracy: AccuracyEntry


@dataclass(frozen=True)
class Manifest:
    """The manifest of an asset folder.

    Attributes:
        files: every file of the folder that belongs to no artifact, sorted by path.
        tools: versions of the packages that made the artifacts.
    """

    model: ModelEntry
    artifacts: tuple[ArtifactEntry, ...]
    rejected: tuple[RejectedEntry, ...]
    tools: Mapping[str, str]
    files: tuple[FileEntry, ...] = ()
    schema: int = SCHEMA

    @property
    def lists_files(self) -> bool:
        """Whether `files` is stated; schema 2 does not have it."""
        return self.schema >= 3


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an asset folder.

    Schema 2, of an earlier release, is read as well: it has no `files` and no `zipped_bytes`;
    everything else is the same.

    Raises:
        BadInput: there is no manifest, or it is damaged or of another schema.
    """
    path = folder / MANIFEST_FILE
    return as_manifest(
        read_json(path, what="assets", way_out=WAY_OUT, versions=READABLE), str(path)
    )


def as_manifest(document: JsonObject, where: str) -> Manifest:
    """A document of a schema in `READABLE` as a manifest; `where` names it in messages.

    Raises:
        BadInput: it is damaged.
    """
    current = document if document["schema"] == SCHEMA else _as_current(document)
    validate(current, SCHEMA_FILE, where, WAY_OUT)
    manifest = structure(document, Manifest, where, WAY_OUT)
    try:
        _ = manifest.model.rule
    except BadInput as error:
        raise BadInput(f"{where} is damaged: {error}; {WAY_OUT}") from error
    return manifest


def manifest_document(manifest: Manifest) -> JsonObject:
    """The manifest as JSON holds it."""
    document = plain(manifest)
    document["model"]["input"]["resize"] = manifest.model.input.rule.document()
    for entry, artifact in zip(document["artifacts"], manifest.artifacts, strict=True):
        entry["parity"] = parity_json(artifact.parity)
    if manifest.model.owner is None:
        document["model"].pop("owner", None)
    for entry in (*document["artifacts"], *document["rejected"]):
        if entry["accuracy"] is not None:  # unknown figures are left out
            stated = {key: value for key, value in entry["accuracy"].items() if value is not None}
            entry["accuracy"] = stated
    return document


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, and its own SHA-256 next to it, as sha256sum writes it.

    Raises:
        ValueError: it violates the schema, or holds a number that JSON cannot: our own bug.
        BadInput: the place cannot be written.
    """
    document = manifest_document(manifest)
    try:
        validate(document, SCHEMA_FILE, MANIFEST_FILE, "this is a bug")
    except BadInput as fault:
        raise ValueError(str(fault)) from fault
    text = to_json(document)
    digest = hashlib.sha256(text.encode()).hexdigest()
    write_text(folder / MANIFEST_FILE, text)
    write_text(folder / SUM_FILE, f"{digest}  {MANIFEST_FILE}\n")


def _as_current(document: JsonObject) -> JsonObject:
    """A document of schema 2 plus what schema 3 adds, so that one schema describes both."""
    artifacts = document.get("artifacts")
    if isinstance(artifacts, list):
        artifacts = [{"zipped_bytes": 1, **a} if isinstance(a, dict) else a for a in artifacts]
    added = {} if "artifacts" not in document else {"artifacts": artifacts}
    return {"files": [], **document, **added, "schema": SCHEMA}
