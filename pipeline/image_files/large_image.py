"""An image too large for copies: its RGB rows are made from the decoded pixels when needed.

Decoded, 180 million pixels are 0.7 GB; turned, painted onto black and converted as a whole they
would be three or four times that. In bands of rows each of these copies is small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.image_files.colours import to_rgb
from pipeline.image_files.orientation import LYING, stored_box, turned

if TYPE_CHECKING:
    from PIL import Image

LARGE_PIXELS: Final = 2**24  # from here on; the copies of a smaller image take at most 0.3 GB
BAND_PIXELS: Final = 2**22
MOST_AT_ONCE: Final = 2**25  # pixels where several copies of one image are needed


def is_large(image: Image.Image) -> bool:
    """Whether it should not be copied as a whole."""
    return image.width * image.height >= LARGE_PIXELS


@dataclass(frozen=True)
class LargeImage:
    """What an upright `PIL.Image` in RGB can do, as far as the resize rules need it.

    Attributes:
        stored: decoded, of any mode but I and F.
        turn: that puts it upright (`pipeline.image_files.orientation`).
    """

    stored: Image.Image
    turn: str | None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        width, height = self.stored.size
        return (height, width) if self.turn in LYING else (width, height)

    @property
    def width(self) -> int:
        """Upright."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Upright."""
        return self.size[1]

    def resize(
        self,
        size: tuple[int, int],
        resample: Image.Resampling,
        box: tuple[float, float, float, float] | None = None,
    ) -> Image.Image:
        """The pixels of Pillow's `resize` of the whole image, by any filter but the nearest pixel.

        Pillow, too, resizes all rows, rounds to bytes, and then resizes all columns; from version
        13.0 on the columns first where that saves time
        (https://github.com/python-pillow/Pillow/pull/9549).
        """
        from PIL import Image

        left, upper, right, lower = box or (0, 0, *self.size)
        columns_first = self.height > size[1] and self.height - size[1] > 2 * (self.width - size[0])
        if columns_first:
            low = Image.new("RGB", (self.width, size[1]))
            for start, band in self._columns():
                down = (0, upper, band.width, lower)
                low.paste(band.resize((band.width, size[1]), resample, down), (start, 0))
            return low.resize(size, resample, (left, 0, right, size[1]))
        narrow = Image.new("RGB", (size[0], self.height))
        for start, band in self._rows():
            across = (left, 0, right, band.height)
            narrow.paste(band.resize((size[0], band.height), resample, across), (0, start))
        return narrow.resize(size, resample, (0, upper, size[0], lower))

    def crop(self, box: tuple[int, int, int, int]) -> Image.Image:
        """The part between left, top, right and bottom, as one `PIL.Image` in RGB."""
        stored = self.stored.crop(stored_box(self.turn, self.stored.size, box))
        return to_rgb(turned(stored, self.turn))

    def whole(self) -> Image.Image:
        """As one `PIL.Image` in RGB."""
        from PIL import Image

        stored = self.stored
        if self.turn is None and stored.mode == "RGB" and not stored.has_transparency_data:
            return stored
        made = Image.new("RGB", self.size)
        for top, band in self._rows():
            made.paste(band, (0, top))
        return made

    def fewer(self) -> Image.Image:
        """As `whole`; of more than `MOST_AT_ONCE` pixels, the means over squares of them."""
        from PIL import Image

        factor = math.ceil(math.sqrt(self.width * self.height / MOST_AT_ONCE))
        if factor == 1:
            return self.whole()
        made = Image.new("RGB", (-(-self.width // factor), -(-self.height // factor)))
        for top, band in self._rows(factor):
            made.paste(band.reduce(factor), (0, top // factor))
        return made

    def _rows(self, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
        """The first row of each band of rows, a multiple of some number, and the band."""
        for top, bottom in _steps(self.height, self.width, multiple):
            yield top, self.crop((0, top, self.width, bottom))

    def _columns(self) -> Iterator[tuple[int, Image.Image]]:
        """The first column of each band of columns, and the band."""
        for left, right in _steps(self.width, self.height):
            yield left, self.crop((left, 0, right, self.height))


def _steps(count: int, length: int, multiple: int = 1) -> Iterator[tuple[int, int]]:
    """First and last, excluded, of `count` lines of that many pixels, taken a band at a time."""
    step = multiple * max(1, BAND_PIXELS // (length * multiple))
    for start in range(0, count, step):
        yield start, min(start + step, count)
