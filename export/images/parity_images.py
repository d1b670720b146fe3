"""The images on which parity is proven: validation images from the user's data, or the embedded
synthetic samples, and always the golden images and the fixed stress images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.images.golden_images import GROUP as GOLDEN
from export.images.golden_images import golden_images
from export.images.stress_images import stress_images
from pipeline.data import phantom
from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput
from pipeline.images import read_image, squish

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.data.dataset import Sample
    from pipeline.model_spec import ModelSpec

EMBEDDED_SAMPLES = 150
FIRST_SAMPLE = 10_001  # far from the phantoms that training draws


@dataclass(frozen=True)
class ParityImages:
    """N named images; `groups` gives the set that each belongs to.

    Attributes:
        names: (N,) relative file names, or the names of drawn images.
        groups: (N,) ``validation``, ``synthetic``, ``golden`` or ``hard``.
        pixels: uint8 (N, side, side, 3) RGB.
        source: one phrase for the report.
        truth: class of each of the first V images, the validation images; empty if there are none.
        patients: (V,) an identifier for each validation image.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    pixels: NDArray[np.uint8]
    source: str
    truth: tuple[int, ...] = ()
    patients: tuple[str, ...] = ()


def gather_images(spec: ModelSpec, data: Path | None, limit: int) -> ParityImages:
    """The parity images of a model.

    Args:
        spec: gives the side, and the labels that the data must have.
        data: folder or table (`pipeline.data.dataset`); None: the embedded samples.
        limit: of validation images, evenly spaced; golden and stress images are added to them.

    Raises:
        BadInput: the data cannot be read, or have other labels than the model.
    """
    samples: list[Sample] = []
    if data is None:
        named, group, source = _embedded(spec.side), "synthetic", "embedded synthetic samples"
    else:
        samples, source = validation_samples(spec, data, limit)
        named = {sample.file: read_image(sample.path, spec.side) for sample in samples}
        group = "validation"
    golden = {f"{GOLDEN}/{image.name}": image.pixels for image in golden_images(spec.side)}
    hard = stress_images(spec.side)
    every = {**named, **golden, **hard}
    return ParityImages(
        names=tuple(every),
        groups=(group,) * len(named) + (GOLDEN,) * len(golden) + ("hard",) * len(hard),
        pixels=np.stack(list(every.values())),
        source=f"{len(named)} {source}, {len(golden)} golden and {len(hard)} hard images",
        truth=tuple(spec.labels.index(sample.label) for sample in samples),
        patients=tuple(sample.patient_or_file for sample in samples),
    )


def validation_samples(spec: ModelSpec, data: Path, limit: int) -> tuple[list[Sample], str]:
    """At most `limit` validation images, evenly spaced, and a phrase that describes them.

    Raises:
        BadInput: the data cannot be read, or have other labels than the model.
    """
    dataset = read_dataset(data)
    if set(dataset.labels) != set(spec.labels):
        raise BadInput(
            f"{data} has the labels {', '.join(dataset.labels)}, "
            f"the model {', '.join(spec.labels)}; give data of the model's labels"
        )
    count = min(limit, len(dataset.valid))
    chosen = np.linspace(0, len(dataset.valid) - 1, count).round().astype(int)
    samples = [dataset.valid[i] for i in chosen]
    share = f"of {len(dataset.valid)} " if count < len(dataset.valid) else ""
    return samples, f"{share}validation images of {dataset.name}"


def _embedded(side: int) -> dict[str, NDArray[np.uint8]]:
    from PIL import Image

    named = {}
    for i in range(EMBEDDED_SAMPLES):
        label = phantom.LABELS[i % len(phantom.LABELS)]
        number = FIRST_SAMPLE + i // len(phantom.LABELS)
        grey = Image.fromarray(phantom.draw(label, number))
        named[f"synthetic/{label}-{number}"] = squish(grey.convert("RGB"), side)
    return named
