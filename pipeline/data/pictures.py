"""Drawn pictures of nothing: what stands in for images of any kind where none are given.

In: a number. Out: one picture in colour; the same number is the same picture. Discs and bars of
every size lie over each other, as leaves do (the dead leaves model: Matheron 1968; Lee, Mumford and
Huang, International Journal of Computer Vision 2001), which gives edges, plain areas and a spectrum
like those of photographs; a gradient of light and grain lie over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED: Final = 20_260_101
LEAVES: Final = 120
SMALLEST, LARGEST = 9, 160  # radius of a leaf in pixels
LEAST_SIDE, MOST_SIDE = 220, 360
GRAIN: Final = 5.0  # standard deviation, in counts of 0 to 255


def draw(number: int) -> NDArray[np.uint8]:
    """Picture `number`, from 0 on: uint8 (H, W, 3), of another size for each."""
    rng = np.random.default_rng([SEED, number])
    height, width = rng.integers(LEAST_SIDE, MOST_SIDE, 2)
    picture = np.empty((height, width, 3))
    picture[:] = _colour(rng)
    for _ in range(LEAVES):
        _lay_leaf(rng, picture)
    rows, columns = np.ogrid[0:height, 0:width]
    across, down = rng.uniform(-0.25, 0.25, 2)
    light = 1 + across * (columns / width - 0.5) + down * (rows / height - 0.5)
    picture = picture * light[:, :, None] + rng.normal(0, GRAIN, picture.shape)
    pixels: NDArray[np.uint8] = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return pixels


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Mostly muted, as colours of photographs are: a grey, and some of each channel."""
    return np.clip(rng.uniform(20, 235) + rng.normal(0, 35, 3), 0, 255)


def _lay_leaf(rng: np.random.Generator, picture: NDArray[np.float64]) -> None:
    """A disc or bar over what is there; small ones are many, by the inverse cube of the radius."""
    height, width, _ = picture.shape
    share = rng.uniform()
    radius = (SMALLEST**-2 * (1 - share) + LARGEST**-2 * share) ** -0.5
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    slim, angle = rng.uniform(0.15, 1.0), rng.uniform(0, np.pi)
    top, left = max(int(y - radius), 0), max(int(x - radius), 0)
    bottom, right = min(int(y + radius) + 1, height), min(int(x + radius) + 1, width)
    rows, columns = np.ogrid[top:bottom, left:right]
    rows, columns = rows - y, columns - x
    along = columns * np.cos(angle) + rows * np.sin(angle)
    beside = (rows * np.cos(angle) - columns * np.sin(angle)) / slim
    disc = along**2 + beside**2 < radius**2
    bar = np.maximum(abs(along), abs(beside)) < radius * 0.7
    inside = disc if rng.uniform() < 0.6 else bar
    picture[top:bottom, left:right][inside] = _colour(rng)
