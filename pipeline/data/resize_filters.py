"""An image resized by different filters: what phones do, and worse.

The one resize rule (`pipeline.images`) comes first. The others are what apps use instead: bilinear
without antialias (Android's `Bitmap.createScaledBitmap`, and `torch.interpolate`), the average over
an area (OpenCV's INTER_AREA), Lanczos, the nearest pixel, and a picture that was already made
smaller once. A network that has learnt to use the sharpness of a filter gives different outputs for
the same photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.images import read_upright, squish

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

TWICE: Final = 2 / 3  # of the size, before it is resized by the rule


def resized_versions(path: Path, side: int) -> NDArray[np.uint8]:
    """Read one image file, resize it by each of `FILTERS`.

    Returns:
        uint8 (F, side, side, 3), RGB, the resize rule's first.

    Raises:
        BadInput: as `pipeline.images.read_image`.
    """
    image = read_upright(path)
    return np.stack([resize(image, side) for resize in FILTERS.values()])


def plain_bilinear(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """Four neighbours at most, however far the image shrinks; samples at half-pixel centres.

    Args:
        image: RGB of any size.
        side: width and height of the result.

    Returns:
        uint8 (side, side, 3), rounded down.
    """
    from PIL import Image

    # `transform` takes samples where they fall, however far apart; `resize` would antialias.
    whole = (0, 0, image.width, image.height)
    made = image.transform((side, side), Image.Transform.EXTENT, whole, Image.Resampling.BILINEAR)
    return np.asarray(made, dtype=np.uint8)


def _area(image: Image.Image, side: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(image.resize((side, side), Image.Resampling.BOX), dtype=np.uint8)


def _lanczos(image: Image.Image, side: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS), dtype=np.uint8)


def _nearest(image: Image.Image, side: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(image.resize((side, side), Image.Resampling.NEAREST), dtype=np.uint8)


def _twice(image: Image.Image, side: int) -> NDArray[np.uint8]:
    from PIL import Image

    width, height = (max(1, round(length * TWICE)) for length in image.size)
    return squish(image.resize((width, height), Image.Resampling.BILINEAR), side)


FILTERS: Final[Mapping[str, Callable[[Image.Image, int], NDArray[np.uint8]]]] = {
    "rule": squish,
    "plain bilinear": plain_bilinear,
    "area": _area,
    "lanczos": _lanczos,
    "nearest": _nearest,
    "twice": _twice,
}
