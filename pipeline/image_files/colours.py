"""Pixels of any mode become 8-bit RGB: transparency onto black, 16-bit grey to 8 bits."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode but I and F; the same object if it is that already.

    Pillow alone clips 16-bit grey to 255, which turns an X-ray white.
    """
    from PIL import Image

    if is_deep(image):
        return Image.fromarray(_of_sixteen_bits()[np.asarray(image)]).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def is_deep(image: Image.Image) -> bool:
    """Whether it is grey with 16 bits, of which 65535 is white."""
    return image.mode.startswith("I;16")


def largest_value(image: Image.Image) -> int | None:
    """Of a pixel with 16 bits; None: it has 8."""
    if image.mode == "I;16":
        return int(image.getextrema()[1])  # type: ignore[arg-type]
    # Pillow has no extrema of the other orders of bytes.
    return int(np.asarray(image).max()) if is_deep(image) else None


@cache
def _of_sixteen_bits() -> NDArray[np.uint8]:
    """uint8 (65536,): the 8-bit grey of each 16-bit grey, to the nearest."""
    return np.rint(np.arange(65536) / 257.0).astype(np.uint8)
