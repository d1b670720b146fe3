"""``golden/golden.json``: its fields as dataclasses, read and written by one function each.

The schema file alone describes the fields; docs/preprocessing.md is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from export.images.golden_images import GROUP, PixelTolerance
from pipeline.errors import BadInput
from pipeline.json_files import plain, read_json, structure, to_json, validate
from pipeline.resize.notation import read_resize
from pipeline.resize.rule import Resize

SCHEMA: Final = 1
PACK_FILE: Final = f"{GROUP}/golden.json"
SCHEMA_FILE: Final = Path(__file__).parent / "golden.schema.json"
WAY_OUT: Final = "give an asset folder, or export again: `python -m export all` makes one"


@dataclass(frozen=True)
class PackModel:
    """The model that the pack is made for, as in the manifest."""

    name: str
    version: str
    checkpoint_sha256: str


@dataclass(frozen=True)
class CaseEntry:
    """One image.

    Attributes:
        image, tensor: paths relative to the asset folder: the file that an app reads, and a PNG of
            the pixels that it must become.
        tensor_sha256: of those pixels as raw bytes.
        why: what the image tests.
        pixel_tolerance: for an app's pixels.
        probs: artifact's path -> the K probabilities that it must give.
    """

    name: str
    image: str
    tensor: str
    tensor_sha256: str
    why: str
    pixel_tolerance: PixelTolerance
    probs: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class LoosestTolerance:
    """The loosest of all cases' pixel tolerances."""

    max_abs: int
    mean_abs: float


@dataclass(frozen=True)
class PackDocument:
    """The document.

    Attributes:
        side: of a square input in pixels; height and width of another.
        resize: how an image becomes the input, where that is not a squish.
        labels: in the order of the probabilities.
        tolerances: artifact's path -> largest difference of any probability.
    """

    model: PackModel
    side: int | tuple[int, int]
    labels: tuple[str, ...]
    cases: tuple[CaseEntry, ...]
    tolerances: Mapping[str, float]
    pixel_tolerance: LoosestTolerance
    resize: Mapping[str, object] | None = None
    schema: int = SCHEMA

    @property
    def rule(self) -> Resize:
        """How an image becomes the input. Raises BadInput."""
        return read_resize(self.resize or {"mode": "squish"}, self.side)


def read_document(folder: Path) -> PackDocument:
    """Read golden.json of an asset folder.

    Raises:
        BadInput: there is none, or it is of another schema or damaged.
    """
    path = folder / PACK_FILE
    document = read_json(
        path, what="golden pack", way_out=WAY_OUT, versions=(SCHEMA,), schema=SCHEMA_FILE
    )
    found = structure(document, PackDocument, str(path), WAY_OUT)
    try:
        _ = found.rule
    except BadInput as error:
        raise BadInput(f"{path}: {error}; {WAY_OUT}") from error
    return found


def document_text(document: PackDocument) -> str:
    """The text of golden.json.

    Raises:
        ValueError: it violates the schema, or holds a number that JSON cannot: our own bug.
    """
    fields = plain(document)
    if document.resize is None:
        fields.pop("resize", None)
    try:
        validate(fields, SCHEMA_FILE, PACK_FILE, "this is a bug")
    except BadInput as fault:
        raise ValueError(str(fault)) from fault
    return to_json(fields)
