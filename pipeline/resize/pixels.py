"""An image resized by a rule: uint8 pixels as fastai makes them of a validation image.

Pillow's `resize` antialiases by itself: its filter grows with the reduction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from pipeline.resize.rule import FILLS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from pipeline.resize.rule import Resize, Span

    Pixels = NDArray[np.uint8]  # (height, width, 3) RGB

BAND_PIXELS: Final = 1 << 20  # of a large image are copied at a time


class Picture(Protocol):
    """What is resized: a `PIL.Image` in 8-bit RGB, or what makes parts of one when asked."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    @property
    def width(self) -> int:
        """In pixels."""

    @property
    def height(self) -> int:
        """In pixels."""

    def crop(self, box: tuple[int, int, int, int], /) -> Image.Image:
        """The part between left, top, right and bottom."""

    def resize(self, size: tuple[int, int], resample: Image.Resampling, /) -> Image.Image:
        """The pixels of Pillow's `resize`."""


def resized(image: Picture, resize: Resize) -> Pixels:
    """An 8-bit RGB image by the rule: uint8 (height, width, 3).

    Source: fastai.vision.augment `Resize.encodes`, `RandomResizedCrop.encodes`, `CropPad.encodes`.
    """
    from PIL import Image

    if resize.mode == "squish":
        size = resize.width + resize.margin, resize.height + resize.margin
        return _middle(image.resize(size, Image.Resampling.BILINEAR), resize)
    across, down = resize.window(*image.size)
    if columns_first(down.length, resize.height, across.length, resize.width):
        short = _along_columns(image, down, resize.height, resize.fill)
        return np.asarray(_along_rows(short, across, resize.width, resize.fill), dtype=np.uint8)
    narrow = _along_rows(image, across, resize.width, resize.fill)
    return np.asarray(_along_columns(narrow, down, resize.height, resize.fill), dtype=np.uint8)


def columns_first(from_height: int, height: int, from_width: int, width: int) -> bool:
    """Whether Pillow, from version 13.0 on, squishes the columns before the rows.

    It does so to save time (https://github.com/python-pillow/Pillow/pull/9549), and between the
    two there are 8 bits, so that it shows in the last bit of a pixel.
    """
    return from_height > height and from_height - height > 2 * (from_width - width)


def resized_otherwise(
    image: Image.Image,
    resize: Resize,
    scale: Callable[[Image.Image, tuple[int, int]], Image.Image],
) -> Pixels:
    """The same geometry with another filter: `scale` makes an image of a width and height."""
    size = resize.width + resize.margin, resize.height + resize.margin
    return _middle(scale(framed(image, resize), size), resize)


def _middle(image: Image.Image, resize: Resize) -> Pixels:
    """What is left of it without the margin."""
    made, first = np.asarray(image, np.uint8), resize.margin // 2
    return made[first : first + resize.height, first : first + resize.width]


def framed(image: Image.Image, resize: Resize) -> Image.Image:
    """What the rule takes of an image, filled where that is beyond the image, not scaled."""
    from PIL import Image

    if resize.mode == "squish":
        return image
    across, down = resize.window(*image.size)
    (left, right), (top, bottom) = across.inside, down.inside
    part = np.asarray(image.crop((left, top, right, bottom)))
    return Image.fromarray(_filled(_filled(part, across, 1, resize.fill), down, 0, resize.fill))


def _along_rows(image: Picture, span: Span, width: int, fill: str | None) -> Image.Image:
    """Every row resized, a band of rows at a time: a large image is never copied whole."""
    from PIL import Image

    rows = max(BAND_PIXELS // span.length, 1)
    left, right = span.inside
    narrow = Image.new("RGB", (width, image.height))
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = _filled(np.asarray(image.crop((left, top, right, bottom))), span, 1, fill)
        size = width, bottom - top
        narrow.paste(Image.fromarray(band).resize(size, Image.Resampling.BILINEAR), (0, top))
    return narrow


def _along_columns(image: Picture, span: Span, height: int, fill: str | None) -> Image.Image:
    """Every column resized, likewise."""
    from PIL import Image

    columns = max(BAND_PIXELS // span.length, 1)
    top, bottom = span.inside
    short = Image.new("RGB", (image.width, height))
    for left in range(0, image.width, columns):
        right = min(left + columns, image.width)
        band = _filled(np.asarray(image.crop((left, top, right, bottom))), span, 0, fill)
        size = right - left, height
        short.paste(Image.fromarray(band).resize(size, Image.Resampling.BILINEAR), (left, 0))
    return short


def _filled(part: Pixels, span: Span, axis: int, fill: str | None) -> Pixels:
    """uint8 (H, W, 3) with what is beyond the image along an axis."""
    if fill is None or not any(span.beyond):
        return part
    width = [(0, 0)] * 3
    width[axis] = span.beyond
    return np.pad(part, width, mode=FILLS[fill])  # type: ignore[call-overload,no-any-return]
