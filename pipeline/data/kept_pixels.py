"""The pixels of samples, each image decoded once: on disk, since thousands do not fit in memory.

In: samples, and what to make of an image. Out: `KeptPixels`, which gives the pixels of a sample.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.data.resize_filters import FILTERS, versions
from pipeline.errors import BadInput
from pipeline.image_files.array_file import ArrayFile
from pipeline.image_files.decoding import read_upright
from pipeline.resize.pixels import resized

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from pipeline.data.listing.sample import Sample
    from pipeline.image_files.large_image import LargeImage
    from pipeline.resize.rule import Resize

SHARE_OF_DISK: Final = 0.5  # of what is free; what does not fit is decoded again each time


@dataclass(frozen=True)
class PixelRecipe:
    """What is made of an image.

    Attributes:
        rule: the model's resize.
        versions: by each filter of `pipeline.data.resize_filters`, not by the rule's own alone.
    """

    rule: Resize
    versions: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, 3), or (F, H, W, 3) of F versions."""
        plain = (*self.rule.size, 3)
        return (len(FILTERS), *plain) if self.versions else plain

    def make(self, image: Image.Image | LargeImage) -> NDArray[np.uint8]:
        """The pixels of an upright RGB image, uint8 of `shape`."""
        return versions(image, self.rule) if self.versions else resized(image, self.rule)


class KeptPixels:
    """Pixels of samples by one recipe.

    Attributes:
        recipe: what is made of each image.
    """

    def __init__(
        self, samples: Iterable[Sample], recipe: PixelRecipe, folder: Path | None = None
    ) -> None:
        """Room for all samples, as far as the disk of `folder` has it; nothing is read yet.

        Raises:
            BadInput: the place cannot be written.
        """
        self.recipe = recipe
        free = shutil.disk_usage(folder or tempfile.gettempdir()).free
        room = int(SHARE_OF_DISK * free) // int(np.prod(recipe.shape))
        paths = list(dict.fromkeys(sample.path for sample in samples))[:room]
        self._rows = {path: row for row, path in enumerate(paths)}
        self._is_kept = np.zeros(len(paths), bool)
        self._is_full = False
        self._file = ArrayFile((len(paths), *recipe.shape), np.uint8, folder)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """In another process there is none, and what is needed is read there."""
        return type(None), ()

    def of(self, sample: Sample) -> NDArray[np.uint8]:
        """The pixels of a sample, to be changed at will; decoded now if they were not kept.

        Raises:
            BadInput: the image cannot be read.
        """
        row = self._rows.get(sample.path)
        if row is not None and self._is_kept[row]:
            pixels: NDArray[np.uint8] = self._file[row]
            return pixels
        return self.keep(sample, read_upright(sample.path)).copy()

    def keep(self, sample: Sample, image: Image.Image | LargeImage) -> NDArray[np.uint8]:
        """Make the pixels of a sample from its decoded image, keep them if there is room."""
        pixels = self.recipe.make(image)
        row = self._rows.get(sample.path)
        if row is not None and not self._is_full:
            try:
                self._file[row] = pixels
            except BadInput:  # others write to the same disk; the images can be read again
                self._is_full = True
            else:
                self._is_kept[row] = True
        return pixels
