"""An image resized by different filters: what phones do, and worse.

The model's own rule (`pipeline.resize`) comes first. The others are what apps use instead: bilinear
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

from pipeline.image_files.large_image import LargeImage
from pipeline.images import read_upright
from pipeline.resize.pixels import resized, resized_otherwise

if TYPE_CHECKING:
    from PIL import Image

    from pipeline.resize.pixels import Pixels
    from pipeline.resize.rule import Resize

TWICE: Final = 2 / 3  # of the size, before it is resized by the rule


def resized_versions(path: Path, rule: Resize) -> Pixels:
    """Read one image file, resize it by each of `FILTERS`.

    Returns:
        uint8 (F, height, width, 3), RGB, the rule's own filter first. An image of more than 33
        million pixels is made smaller before the other filters see it (`LargeImage.fewer`).

    Raises:
        BadInput: as `pipeline.images.read_image`.
    """
    return versions(read_upright(path), rule)


def versions(image: Image.Image | LargeImage, rule: Resize) -> Pixels:
    """An upright RGB image, resized by each of `FILTERS`: as `resized_versions`."""
    fewer = image.fewer() if isinstance(image, LargeImage) else image
    others = [resize(fewer, rule) for resize in FILTERS.values() if resize is not resized]
    return np.stack([resized(image, rule), *others])


def plain_bilinear(image: Image.Image, rule: Resize) -> Pixels:
    """Four neighbours at most, however far the image shrinks; samples at half-pixel centres.

    Args:
        image: RGB of any size.
        rule: what is taken of it, and the size of the result.

    Returns:
        uint8 (height, width, 3), rounded down.
    """

    def sampled(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
        from PIL import Image

        # `transform` takes samples where they fall, however far apart; `resize` would antialias.
        whole = (0, 0, frame.width, frame.height)
        return frame.transform(size, Image.Transform.EXTENT, whole, Image.Resampling.BILINEAR)

    return resized_otherwise(image, rule, sampled)


def filtered(name: str) -> Callable[[Image.Image, Resize], Pixels]:
    """The rule with another of Pillow's filters, by its name in `PIL.Image.Resampling`."""

    def resize(image: Image.Image, rule: Resize) -> Pixels:
        from PIL import Image

        method = Image.Resampling[name]
        return resized_otherwise(image, rule, lambda frame, size: frame.resize(size, method))

    return resize


def _twice(image: Image.Image, rule: Resize) -> Pixels:
    def smaller_first(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
        from PIL import Image

        width, height = (max(1, round(length * TWICE)) for length in frame.size)
        small = frame.resize((width, height), Image.Resampling.BILINEAR)
        return small.resize(size, Image.Resampling.BILINEAR)

    return resized_otherwise(image, rule, smaller_first)


FILTERS: Final[Mapping[str, Callable[[Image.Image, Resize], Pixels]]] = {
    "rule": resized,
    "plain bilinear": plain_bilinear,
    "area": filtered("BOX"),
    "lanczos": filtered("LANCZOS"),
    "nearest": filtered("NEAREST"),
    "twice": _twice,
}
