"""The data sets: grey and colour, 2 to 120 classes, 100 to 5,000 images, balanced and not.

Drawn (`benchmarks.datasets.drawings`) or part of scikit-learn, so that nothing is fetched. A set is
a folder of images, split into train and valid, as a user has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from benchmarks.datasets.drawings import (
    FIGURES,
    PHOTOS,
    TEXTURES,
    THINGS,
    brushed_metal,
    grey_figure,
    hued_polygons,
    photographed,
    textured,
)
from pipeline.atomic_files import staged_folder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator

TILE: Final = 64  # pixels

Draw = Callable[["Generator", int], Image.Image]
Pictures = Callable[["Generator", int], Iterator[Image.Image]]


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        about: what its images show.
        images: label -> how many for training and how many for validation.
        pictures: of a generator and the number of the label, its images, none twice.
    """

    about: str
    images: Mapping[str, tuple[int, int]]
    pictures: Pictures


def write_images(dataset: DataSet, folder: Path, seed: int = 2) -> None:
    """Write `folder`/train and `folder`/valid, a folder a label; what was there is replaced."""
    rng = np.random.default_rng(seed)
    with staged_folder(folder) as staging:
        for number, (label, counts) in enumerate(dataset.images.items()):
            pictures = dataset.pictures(rng, number)
            for split, count in zip(("train", "valid"), counts, strict=True):
                place = staging / split / label
                place.mkdir(parents=True)
                for i in range(count):
                    next(pictures).save(place / f"{i:04d}.png")


def _drawn(draw: Draw) -> Pictures:
    def pictures(rng: Generator, label: int) -> Iterator[Image.Image]:
        while True:
            yield draw(rng, label)

    return pictures


def _digits(rng: Generator, label: int) -> Iterator[Image.Image]:
    """Handwritten, 8 x 8 pixels of 17 tones (scikit-learn's `load_digits`)."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    for pixels in rng.permutation(images[labels == label]):
        yield Image.fromarray((pixels.reshape(8, 8) * 15.9).astype(np.uint8))


def _tiles(rng: Generator, label: int) -> Iterator[Image.Image]:
    """Pieces of a photograph that do not overlap."""
    from sklearn.datasets import load_sample_image

    photo = Image.fromarray(load_sample_image(PHOTOS[label]))
    across, down = photo.width // TILE, photo.height // TILE
    for i in rng.permutation(across * down):
        left, top = TILE * (i % across), TILE * (i // across)
        yield photo.crop((left, top, left + TILE, top + TILE))


DATASETS: Final[Mapping[str, DataSet]] = {
    "photo_tiles": DataSet(
        "colour, pieces of two photographs",
        dict.fromkeys(("palace", "flower"), (38, 12)),
        _tiles,
    ),
    "colours5": DataSet(
        "colour, polygons of five hues",
        dict.fromkeys(("ámbar", "azul", "carmesí", "verde", "violeta"), (30, 10)),
        _drawn(hued_polygons(5)),
    ),
    "textures8": DataSet(
        "grey, eight textures",
        dict.fromkeys(TEXTURES, (60, 20)),
        _drawn(textured),
    ),
    "colours120": DataSet(
        "colour, polygons of 120 hues",
        dict.fromkeys((f"class {i:03d}" for i in range(120)), (6, 2)),
        _drawn(hued_polygons(120)),
    ),
    "scratches": DataSet(
        "colour, brushed metal, one in ten scratched",
        {"scratched": (75, 25), "sound": (675, 225)},
        _drawn(brushed_metal),
    ),
    "things5": DataSet(
        "colour, five kinds of things in photographs",
        dict.fromkeys(THINGS, (60, 20)),
        _drawn(photographed),
    ),
    "digits": DataSet(
        "grey, handwritten digits of 8 x 8 pixels",
        dict.fromkeys(map(str, range(10)), (130, 44)),
        _digits,
    ),
    "figures5000": DataSet(
        "grey, outlines in noise",
        dict.fromkeys(FIGURES, (1000, 250)),
        _drawn(grey_figure),
    ),
}
