"""The one resize rule: an image file becomes the uint8 pixels that every model here takes.

In: an image file of any size and mode. Out: uint8 (side, side, 3) RGB.
The rule: turn by the EXIF orientation, paint transparency onto black, scale 16-bit grey to 8 bits,
make it RGB, squish to side x side (aspect ratio is not kept) with a bilinear filter that
antialiases when it shrinks. Training, parity and the golden samples all come through here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

RESIZE_RULE: Final = {"mode": "squish", "filter": "bilinear", "antialias": True}
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


def read_image(path: Path, side: int) -> NDArray[np.uint8]:
    """Read one image file by the resize rule.

    Returns:
        uint8 (side, side, 3), RGB.

    Raises:
        BadInput: the file is missing, is no image that Pillow reads, or is cut short.
    """
    return squish(read_upright(path), side)


def read_upright(path: Path) -> Image.Image:
    """Read one image file, upright, 8-bit RGB, in its own size. Raises BadInput as above."""
    with _opened(path) as image:
        return to_rgb(upright(image))


def decode(path: Path) -> Image.Image:
    """The image in a file, decoded, of any mode, not yet turned by its EXIF orientation.

    Raises:
        BadInput: the file is missing, is no image that Pillow reads, or is cut short.
    """
    with _opened(path) as image:
        image.load()
        return image.copy()  # one that no longer hangs on the file


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError as error:
        raise BadInput(f"{path} is not an image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise BadInput(f"{path} is refused for its size: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises all three for damaged files
        raise BadInput(f"{path} cannot be read as an image: {error}") from error


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def squish(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Resize an 8-bit RGB image by the resize rule: uint8 (side, side, 3).

    Pillow's `resize` antialiases by itself: its filter grows with the reduction.
    """
    from PIL import Image

    resized = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode. Pillow alone clips 16-bit grey to 255, which turns an X-ray white."""
    from PIL import Image

    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = np.asarray(image, dtype=np.float64)
        scaled = np.clip(np.rint(grey / 257.0), 0, 255).astype(np.uint8)
        return Image.fromarray(scaled).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("RGB")
    return image.convert("RGB")
