"""The yardstick is measured: is a published golden pack what would be written today?

In: an asset folder and PyTorch's outputs. Out: what differs. A pack with wide tolerances, with few
cases or without its awkward images passes every file that is held to it.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from export.deploy.variants import missing_variant
from export.formats.register import FORMATS
from export.golden.document import PACK_FILE, PackDocument, read_document
from export.golden.pack import golden_document, golden_texts, paths_of
from export.golden.replay import within
from export.images.golden_images import GROUP, GoldenImage, golden_images
from pipeline.image_files.orientation import ORIENTATION
from pipeline.json_files import differences, plain

if TYPE_CHECKING:
    from export.manifest.manifest import Manifest
    from export.parity.reference import References
    from pipeline.json_files import JsonObject


def pack_faults(manifest: Manifest, folder: Path, references: References) -> Iterator[str]:
    """Where a pack is not that of its model, but for its answers: files are held to these.

    Args:
        manifest: of the folder.
        folder: the asset folder; its files have the hashes of the manifest.
        references: the checkpoint on the parity images, all golden ones among them.

    Raises:
        BadInput: golden.json is damaged.
    """
    images = golden_images(manifest.model.rule, manifest.model.words.samples)
    derived = golden_document(_with_variants(manifest, references), references, images)
    absent = {artifact.path for artifact in manifest.artifacts} - derived.tolerances.keys()
    said = read_document(folder)
    one, other = (_without_answers(document, absent) for document in (said, derived))
    yield from differences(one, other, PACK_FILE)
    for path, text in golden_texts(manifest).items():
        if not (folder / path).is_file() or (folder / path).read_bytes() != text:
            yield f"{path} is not what is generated for this model"
    for image in images:
        path = paths_of(image)[0]
        if not _is_same_file(folder / path, image):
            yield f"{path} is not the file that is drawn for this case"
    known = {path for image in images for path in paths_of(image)}
    known |= {PACK_FILE, *golden_texts(manifest)}
    for entry in manifest.files:
        if entry.path.startswith(f"{GROUP}/") and entry.path not in known:
            yield f"{entry.path} belongs to no case of the golden pack"


def _with_variants(manifest: Manifest, references: References) -> Manifest:
    """The manifest with the artifacts whose variant the checkpoint has."""
    there = [
        artifact
        for artifact in manifest.artifacts
        if not missing_variant(
            references.checkpoint, FORMATS[artifact.format].precisions[artifact.precision].variant
        )
    ]
    return replace(manifest, artifacts=tuple(there))


def _without_answers(document: PackDocument, absent: Collection[str]) -> JsonObject:
    """All that is exact, without artifacts that are not compared; a case is found by its name."""
    fields = plain(document)
    fields["tolerances"] = {
        path: limit for path, limit in fields["tolerances"].items() if path not in absent
    }
    fields["cases"] = {
        case["name"]: {key: value for key, value in case.items() if key != "probs"}
        for case in fields["cases"]
    }
    return fields


def _is_same_file(path: Path, image: GoldenImage) -> bool:
    """The same bytes, or another Pillow's: the same pixels are stored, turned alike."""
    content = path.read_bytes()
    if content == image.content:
        return True
    with Image.open(io.BytesIO(content)) as said, Image.open(io.BytesIO(image.content)) as right:
        alike = (said.format, said.mode, said.size, said.getexif().get(ORIENTATION)) == (
            *(right.format, right.mode, right.size, right.getexif().get(ORIENTATION)),
        )
        return alike and within(np.asarray(said), np.asarray(right), image.tolerance)
