"""The images on which parity is proven: validation images from the user's data, or drawn samples
of the kind that the owner names, and always the golden images and the fixed stress images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.images.drawn_samples import embedded_samples
from export.images.golden_images import GROUP as GOLDEN
from export.images.golden_images import golden_images
from export.images.stress_images import stress_images
from pipeline.data.dataset import read_dataset
from pipeline.data.listing.labels import quoted
from pipeline.data.reading import in_threads
from pipeline.data.split import split_of
from pipeline.errors import BadInput
from pipeline.image_files.array_file import ArrayFile
from pipeline.images import read_image
from pipeline.resize.pixels import resized

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.data.dataset import Sample
    from pipeline.model_spec import ModelSpec

    Pixels = NDArray[np.uint8] | ArrayFile


@dataclass(frozen=True)
class ParityImages:
    """N named images; `groups` gives the set that each belongs to.

    Attributes:
        names: (N,) relative file names, or the names of drawn images.
        groups: (N,) ``validation``, ``synthetic``, ``golden`` or ``hard``.
        pixels: uint8 (N, H, W, 3) RGB, read once: what every file is compared on.
        source: one phrase for the report.
        truth: class of each of the first V images, the validation images; empty if there are none.
        patients: (V,) what each validation image belongs to: a group, or itself.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    pixels: Pixels
    source: str
    truth: tuple[int, ...] = ()
    patients: tuple[str, ...] = ()


def gather_images(spec: ModelSpec, data: Path | None, limit: int) -> ParityImages:
    """The parity images of a model.

    Args:
        spec: gives the resize, and the labels that the data must have.
        data: folder or table (`pipeline.data.dataset`); None: the embedded samples.
        limit: of validation images, evenly spaced; golden and stress images are added to them.

    Raises:
        BadInput: the data cannot be read, or have other labels than the model.
    """
    samples: list[Sample] = []
    drawn: dict[str, NDArray[np.uint8]] = {}
    if data is None:
        group, source = "synthetic", "embedded synthetic samples"
        drawn = {
            name: resized(image.convert("RGB"), spec.resize)
            for name, image in embedded_samples(spec.owner.samples).items()
        }
    else:
        group = "validation"
        samples, source = validation_samples(spec, data, limit, print)
    files = golden_images(spec.resize, spec.owner.samples)
    golden = {f"{GOLDEN}/{image.name}": image.pixels for image in files}
    hard = stress_images(spec.side)
    first = len(samples) or len(drawn)
    drawn |= golden | hard
    names = (*(sample.file for sample in samples), *drawn)
    pixels = ArrayFile((len(names), *spec.resize.size, 3), np.uint8)

    def read(row: int) -> None:
        pixels[row] = read_image(samples[row].path, spec.resize)

    for _ in in_threads(read, range(len(samples))):
        pass
    for row, image in enumerate(drawn.values(), start=len(samples)):
        pixels[row] = image
    return ParityImages(
        names=names,
        groups=(group,) * first + (GOLDEN,) * len(golden) + ("hard",) * len(hard),
        pixels=pixels,
        source=f"{first} {source}, {len(golden)} golden and {len(hard)} hard images",
        truth=tuple(spec.labels.index(sample.label) for sample in samples),
        patients=tuple(sample.patient_or_file for sample in samples),
    )


def validation_samples(
    spec: ModelSpec, data: Path, limit: int, tell: Callable[[str], None] = lambda note: None
) -> tuple[list[Sample], str]:
    """At most `limit` validation images, evenly spaced, and a phrase that describes them.

    Args:
        tell: gets what was left out, or read in another way than written, a sentence each.

    Raises:
        BadInput: the data cannot be read, or have other labels than the model.
    """
    found = read_dataset(data, **asdict(split_of(spec)))
    dataset = found.spelled_as(spec.labels)
    if dataset is None:
        raise BadInput(
            f"{data} has the labels {quoted(found.labels)}, the model {quoted(spec.labels)}; give "
            "data of the model's labels"
        )
    for note in found.notes:
        tell(note)
    count = min(limit, len(dataset.valid))
    chosen = np.linspace(0, len(dataset.valid) - 1, count).round().astype(int)
    samples = [dataset.valid[i] for i in chosen]
    share = f"of {len(dataset.valid)} " if count < len(dataset.valid) else ""
    return samples, f"{share}validation images of {dataset.name}"
