"""The pack on disk: ``golden/golden.json``, with images and tensors next to it.

In: a manifest and PyTorch's outputs; or an asset folder. Out: files as bytes; or a `Pack`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from export.formats.register import FORMATS
from export.golden.document import (
    PACK_FILE,
    CaseEntry,
    LoosestTolerance,
    PackDocument,
    PackModel,
    document_text,
    read_document,
)
from export.images.golden_images import GROUP, GoldenImage, PixelTolerance, golden_images
from export.parity.allowance import FACTOR
from export.verify import unsafe
from pipeline.errors import BadInput
from pipeline.images import decode
from pipeline.json_files import plain
from pipeline.terminal.markdown import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.manifest.manifest import ArtifactEntry, Manifest
    from export.parity.reference import References
    from pipeline.resize.rule import Resize

README: Final = """\
# Golden pack

Image files (`images/`), the exact pixels that each must become (`tensors/`, RGB PNG), and in
`golden.json` the probabilities that each model file must then give. In a test of your app, for each
case:

1. read and resize the image as the app does. Further from the tensor than `pixel_tolerance` allows:
   the app's preprocessing is wrong.
2. Give the model the tensor. Further from `probs` than `tolerances` allows: the model file or its
   runtime is.
3. Go the whole way from file to label.

`python -m export golden FOLDER --case NAME --pixels FILE`, in the project that this folder is from,
names the mistake behind wrong pixels. Every image is drawn by a program.

Of the model: {intended_use}
"""


@dataclass(frozen=True)
class Case:
    """One image of a pack.

    Attributes:
        name, why: as in `GoldenImage`.
        image: the file that an app reads.
        pixels: what it must become, uint8 (H, W, 3) RGB.
        tolerance: for an app's pixels.
        probs: artifact's path -> float64 (K,), what it must output for `pixels`.
    """

    name: str
    why: str
    image: Path
    pixels: NDArray[np.uint8]
    tolerance: PixelTolerance
    probs: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Pack:
    """A golden pack that was read.

    Attributes:
        folder: the asset folder.
        model: the one that it is made for.
        rule: how an image becomes the input, and the input's size.
        labels: in the order of the probabilities.
        tolerances: artifact's path -> largest difference of any probability.
    """

    folder: Path
    model: PackModel
    rule: Resize
    labels: tuple[str, ...]
    cases: tuple[Case, ...]
    tolerances: Mapping[str, float]

    def case(self, name: str) -> Case:
        """The case of this name. Raises BadInput if there is none."""
        for case in self.cases:
            if case.name == name:
                return case
        names = ", ".join(case.name for case in self.cases)
        raise BadInput(f"no golden case {name!r}; there are: {names}")


def golden_files(manifest: Manifest, references: References) -> dict[str, bytes]:
    """The pack for the artifacts of one asset folder.

    Args:
        manifest: of that folder; its list of other files is not used.
        references: the checkpoint on the parity images, the golden ones among them.

    Returns:
        Path relative to the asset folder, with forward slashes -> content.
    """
    images = golden_images(manifest.model.rule, manifest.model.words.samples)
    files: dict[str, bytes] = {}
    for image in images:
        contents = (image.content, _png(image.pixels))
        files.update(zip(paths_of(image), contents, strict=True))
    files |= golden_texts(manifest)
    files[PACK_FILE] = document_text(golden_document(manifest, references, images)).encode()
    return files


def golden_texts(manifest: Manifest) -> dict[str, bytes]:
    """What people read of a pack: path -> content."""
    readme = README.format(intended_use=shown(manifest.model.intended_use))
    return {f"{GROUP}/README.md": readme.encode()}


def golden_document(
    manifest: Manifest, references: References, images: Sequence[GoldenImage]
) -> PackDocument:
    """What ``golden.json`` says, for these golden images.

    Args:
        manifest, references: as `golden_files`.
    """
    rule, labels = manifest.model.rule, manifest.model.labels
    variants = {
        artifact.path: FORMATS[artifact.format].precisions[artifact.precision].variant
        for artifact in manifest.artifacts
    }
    cases = tuple(
        CaseEntry(
            image.name,
            *paths_of(image),
            pixels_sha256(image.pixels),
            image.why,
            image.tolerance,
            {path: _told(references, variant, image.name) for path, variant in variants.items()},
        )
        for image in images
    )
    return PackDocument(
        model=_model(manifest),
        side=rule.side,
        labels=labels,
        cases=cases,
        tolerances={artifact.path: _tolerance(artifact) for artifact in manifest.artifacts},
        pixel_tolerance=LoosestTolerance(
            max(image.tolerance.max_abs for image in images),
            max(image.tolerance.mean_abs for image in images),
        ),
        resize=None if rule.method == "squish" else rule.document(),
    )


def paths_of(image: GoldenImage) -> tuple[str, str]:
    """Of the file that an app reads, and of the tensor."""
    return f"{GROUP}/images/{image.name}{image.suffix}", f"{GROUP}/tensors/{image.name}.png"


def pixels_sha256(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 of uint8 (H, W, 3) as raw bytes."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def read_pack(folder: Path) -> Pack:
    """Read the golden pack of an asset folder.

    Raises:
        BadInput: there is none, it is of another schema or damaged, or a tensor does not have the
            hash in golden.json.
    """
    document = read_document(folder)
    return Pack(
        folder,
        document.model,
        document.rule,
        document.labels,
        tuple(_case(folder, case, document) for case in document.cases),
        document.tolerances,
    )


def read_pixels(path: Path) -> NDArray[np.uint8]:
    """The pixels of an RGB image file, unchanged: uint8 (H, W, 3). Raises BadInput."""
    image = decode(path)
    if image.mode != "RGB":
        raise BadInput(f"{path} has the mode {image.mode}, not RGB")
    return np.array(image)


def refuse_other_model(pack: Pack, manifest: Manifest) -> None:
    """Make sure that pack and manifest of a folder are of one model and resize. Raises BadInput."""
    said, listed = plain(pack.model), plain(_model(manifest))
    for key in said:
        if said[key] != listed[key]:
            raise BadInput(
                f"{pack.folder / PACK_FILE} is of {key} {said[key]}, manifest.json of "
                f"{listed[key]}; pull the whole folder again"
            )
    rules = pack.rule, manifest.model.rule
    if rules[0] != rules[1]:
        told = [f"{rule.method}, {rule.pixels} pixels" for rule in rules]
        raise BadInput(
            f"{pack.folder / PACK_FILE} is of images resized by {told[0]}, manifest.json by "
            f"{told[1]}; pull the whole folder again"
        )


def _model(manifest: Manifest) -> PackModel:
    model = manifest.model
    return PackModel(model.name, model.version, model.checkpoint_sha256)


def _case(folder: Path, case: CaseEntry, document: PackDocument) -> Case:
    for path in (case.image, case.tensor):
        if unsafe(path):
            raise BadInput(f"{folder / PACK_FILE}: path {path!r} {unsafe(path)}")
    pixels = read_pixels(folder / case.tensor)
    if pixels.shape != (*document.rule.size, 3) or pixels_sha256(pixels) != case.tensor_sha256:
        raise BadInput(
            f"{folder / case.tensor} does not hold the pixels whose SHA-256 is in {PACK_FILE}; "
            "pull the whole folder again"
        )
    for path in document.tolerances.keys() | case.probs.keys():
        if len(case.probs.get(path, ())) != len(document.labels):
            raise BadInput(
                f"{folder / PACK_FILE}: {case.name} needs one probability per label for {path}"
            )
    return Case(
        case.name,
        case.why,
        folder / case.image,
        pixels,
        case.pixel_tolerance,
        {path: np.array(probs, dtype=np.float64) for path, probs in case.probs.items()},
    )


def _tolerance(artifact: ArtifactEntry) -> float:
    """For an app: that of its precision, and more where the network itself enlarges rounding."""
    usual = FORMATS[artifact.format].precisions[artifact.precision].tolerance.max_abs_diff
    found = artifact.parity.sets.get(GROUP)
    if artifact.parity.rounding is None or found is None or found.max_abs_diff is None:
        return usual
    return max(usual, FACTOR * found.max_abs_diff)


def _told(references: References, variant: str, name: str) -> tuple[float, ...]:
    """PyTorch's probabilities for a golden image, in the fewest digits that identify a float32."""
    reference = references.of(variant)
    row = reference.images.names.index(f"{GROUP}/{name}")
    return tuple(float(str(p)) for p in reference.probs[row])


def _png(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=9)
    return content.getvalue()
