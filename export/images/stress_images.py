"""The fixed stress images: no camera takes them, and they reveal what photographs hide.

A single colour channel shows swapped channels, a gradient a mirrored or transposed image, black and
white a wrong normalisation, noise and checkerboards padding and rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def stress_images(side: int) -> dict[str, NDArray[np.uint8]]:
    """Name -> uint8 (side, side, 3) RGB; the same for every model of that side."""
    rows, columns = np.mgrid[0:side, 0:side]
    ramp = np.linspace(0, 255, side)
    rng = np.random.default_rng(20200311)
    images = {
        "black": _grey(np.zeros((side, side))),
        "white": _grey(np.full((side, side), 255)),
        "mid_grey": _grey(np.full((side, side), 128)),
        "red": _colour(side, (255, 0, 0)),
        "green": _colour(side, (0, 255, 0)),
        "blue": _colour(side, (0, 0, 255)),
        "noise_grey": _grey(rng.integers(0, 256, (side, side))),
        "noise_colour": rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        "checkerboard_1px": _grey((rows + columns) % 2 * 255),
        "checkerboard_16px": _grey((rows // 16 + columns // 16) % 2 * 255),
        "gradient_left_right": _grey(np.broadcast_to(ramp, (side, side))),
        "gradient_top_bottom": _grey(np.broadcast_to(ramp[:, None], (side, side))),
        "gradient_colour": np.stack(
            [ramp[columns], ramp[rows], ramp[(rows + columns) % side]], axis=-1
        ).astype(np.uint8),
    }
    return {f"hard/{name}": np.ascontiguousarray(image) for name, image in images.items()}


def _grey(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


def _colour(side: int, rgb: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array(rgb, dtype=np.uint8), (side, side, 3))
