"""An image file becomes an upright 8-bit RGB image; whatever is wrong with it is said by its name.

Only what decides about pixels is read: the pixels, and the EXIF orientation. What else a file says
of itself, in EXIF, XMP, text or a colour profile, can neither turn an image nor stop it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Final

from pipeline.errors import BadInput
from pipeline.image_files.colours import to_rgb
from pipeline.image_files.large_image import LargeImage, is_large
from pipeline.image_files.orientation import forget_xmp, turn_of, turned
from pipeline.image_files.png_chunks import without_text

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
)
# Of these modes of Pillow nobody knows which value is white: 1, 255, 4095, 3000 Hounsfield units.
NO_WHITE_POINT: Final = {"I": "32-bit integers", "F": "floating-point numbers"}
_one_at_a_time = RLock()


def read_upright(path: Path) -> Image.Image | LargeImage:
    """Read one image file, upright, 8-bit RGB, in its own size.

    Raises:
        BadInput: the file is missing, is no image that Pillow reads, is cut short, or has pixels
            whose white point is not known.
    """
    with opened(path) as image:
        return upright_rgb(image)


def decode(path: Path) -> Image.Image:
    """The image in a file, decoded, of any mode, not yet turned by its EXIF orientation.

    Pillow itself turns a TIFF. Raises BadInput as above.
    """
    with opened(path) as image:
        return image


def upright_rgb(image: Image.Image) -> Image.Image | LargeImage:
    """The decoded image, upright and in RGB; one that is too large to copy, as a `LargeImage`."""
    if is_large(image):
        return LargeImage(image, turn_of(image))
    return to_rgb(turned(image, turn_of(image)))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The image in a file, decoded, as long as the block lasts. Raises BadInput as above.

    One thread at a time has a large one.
    """
    with _told_by_name(path):
        from PIL import Image

        _ignore_warnings_about_metadata()
        image = Image.open(without_text(path))
        forget_xmp(image)
    with image, _one_at_a_time if is_large(image) else nullcontext():
        if image.mode in NO_WHITE_POINT:
            raise BadInput(
                f"{path} has pixels that are {NO_WHITE_POINT[image.mode]} (mode {image.mode}), and "
                "nothing says which value is white; save it with 8 bits, or with 16 bits of which "
                "65535 is white"
            )
        with _told_by_name(path):
            image.load()
        yield image


@contextmanager
def _told_by_name(path: Path) -> Iterator[None]:
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except UnidentifiedImageError as error:
        raise BadInput(f"{path} is not an image that Pillow can read") from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise BadInput(f"{path} is refused for its size: {error or 'no memory is left'}") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise BadInput(f"{path} cannot be read as an image: {error}") from error


@cache
def _ignore_warnings_about_metadata() -> None:
    """Of damaged EXIF, and of sizes below the limit at which Pillow refuses."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
