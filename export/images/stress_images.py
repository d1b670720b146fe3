"""The fixed stress images: no camera takes them, and they reveal what photographs hide.

A single colour channel shows swapped channels, a gradient a mirrored or transposed image, black and
white a wrong normalisation, noise and checkerboards padding and rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.resize.notation import height_width

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.resize.rule import Size


def stress_images(side: Size) -> dict[str, NDArray[np.uint8]]:
    """Name -> uint8 (H, W, 3) RGB; the same for every model of that side, or height and width."""
    size = height, width = height_width(side)
    rows, columns = np.mgrid[0:height, 0:width]
    across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)
    rng = np.random.default_rng(20200311)
    images = {
        "black": _grey(np.zeros(size)),
        "white": _grey(np.full(size, 255)),
        "mid_grey": _grey(np.full(size, 128)),
        "red": _colour(size, (255, 0, 0)),
        "green": _colour(size, (0, 255, 0)),
        "blue": _colour(size, (0, 0, 255)),
        "noise_grey": _grey(rng.integers(0, 256, size)),
        "noise_colour": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "checkerboard_1px": _grey((rows + columns) % 2 * 255),
        "checkerboard_16px": _grey((rows // 16 + columns // 16) % 2 * 255),
        "gradient_left_right": _grey(np.broadcast_to(across, size)),
        "gradient_top_bottom": _grey(np.broadcast_to(down[:, None], size)),
        "gradient_colour": np.stack(
            [across[columns], down[rows], across[(rows + columns) % width]], axis=-1
        ).astype(np.uint8),
    }
    return {f"hard/{name}": np.ascontiguousarray(image) for name, image in images.items()}


def _grey(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def _colour(size: tuple[int, int], rgb: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(rgb, dtype=np.uint8), (*size, 3))
