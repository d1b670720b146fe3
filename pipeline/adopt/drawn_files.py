"""Image files to run a learner on: of sizes that tell one way to resize from another.

In: the size of a model's input. Out: files in a folder of the caller's, in colour or in grey.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

COLOURS: Final = ((0, 0, 0), (200, 120, 40), (30, 90, 250))  # RGB
# Height and width of noise: neither square nor a common size, wide, high, smaller than any input,
# and so wide and high that what a frame lacks is many times what it has.
NOISE_PX: Final = ((300, 410), (411, 302), (97, 640), (640, 97), (23, 31), (29, 19), (40, 1001))
PICTURES: Final = 4


def write_colours(place: Path) -> list[Path]:
    """A file in each of `COLOURS`."""
    height, width = NOISE_PX[0]
    return [
        _write(place / f"colour{number}.png", np.full((height, width, 3), colour, dtype=np.uint8))
        for number, colour in enumerate(COLOURS)
    ]


def write_pictures(place: Path, size: tuple[int, int], grey: bool = False) -> list[Path]:
    """Noise of many sizes, of the input's own (`size`: height, width) too; pictures; a JPEG."""
    from pipeline.data.pictures import draw

    rng = np.random.default_rng(0)
    made = {
        f"noise{height}x{width}.png": rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for height, width in (*NOISE_PX, size)
    }
    made |= {f"picture{i}.png": draw(i) for i in range(PICTURES)}
    made["picture.jpg"] = draw(PICTURES)
    return [_write(place / name, pixels, grey) for name, pixels in made.items()]


def _write(path: Path, pixels: np.ndarray, grey: bool = False) -> Path:
    from PIL import Image

    image = Image.fromarray(pixels)
    (image.convert("L") if grey else image).save(path, compress_level=1)  # read once, soon
    return path
