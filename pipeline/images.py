"""An image file becomes the uint8 pixels that a model takes.

In: an image file of any size and mode. Out: uint8 (height, width, 3) RGB.
The rule: turn by the EXIF orientation, paint transparency onto black, scale 16-bit grey to 8 bits,
make it RGB (`pipeline.image_files` does these), then resize it as the model's rule says
(`pipeline.resize`). Training, parity and the golden samples all come through here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.image_files.colours import to_rgb as to_rgb
from pipeline.image_files.decoding import SUFFIXES as SUFFIXES
from pipeline.image_files.decoding import decode as decode
from pipeline.image_files.decoding import opened, upright_rgb
from pipeline.image_files.decoding import read_upright as read_upright
from pipeline.image_files.large_image import LargeImage
from pipeline.image_files.orientation import upright as upright
from pipeline.resize.pixels import resized
from pipeline.resize.rule import Resize

if TYPE_CHECKING:
    from PIL import Image

    from pipeline.resize.pixels import Pixels


def read_image(path: Path, resize: Resize | int) -> Pixels:
    """Read one image file by a model's rule; an int is a square's side, squished to.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        BadInput: the file is missing, is no image that Pillow reads, is cut short, or has pixels
            whose white point is not known.
    """
    rule = Resize(resize, resize) if isinstance(resize, int) else resize
    with opened(path) as image:
        return resized(upright_rgb(image), rule)


def read_whole(path: Path) -> Image.Image:
    """As `read_upright`, and one `PIL.Image` however large."""
    image = read_upright(path)
    return image.whole() if isinstance(image, LargeImage) else image
