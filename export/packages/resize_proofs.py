"""Proofs that code in another language resizes as we do: image sizes, and hashes of what must come.

The images are made by a formula that any language computes, so that no picture has to travel.
In: a model's resize. Out: a `ResizeProof` per size, hashed from what Python makes of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.resize.pixels import resized
from pipeline.resize.rule import Resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Smaller, larger, equal, by fractions, wide, and so tall that Pillow 13 squishes the columns first
# (height - side > 2 * (width - side)); few pixels, so that publishing stays quick.
SIZES: Final = (
    (1, 1), (2, 3), (7, 1), (63, 65), (224, 224), (223, 225), (225, 223), (448, 448), (640, 480),
    (31, 1000), (1000, 31), (517, 389), (389, 517), (300, 560),
)  # fmt: skip
MULTIPLIER: Final = (
    2654435761  # 2^32 over the golden ratio, which spreads consecutive numbers (Knuth)
)


@dataclass(frozen=True)
class ResizeProof:
    """`formula_image(width, height)` must be resized to the pixels of this hash.

    Attributes:
        sha256: of the input's height * width * 3 bytes, rows first, R G B each.
    """

    width: int
    height: int
    sha256: str


def formula_image(width: int, height: int) -> NDArray[np.uint8]:
    """Noise: uint8 (height, width, 3). Pixel i, row by row, is the upper 24 bits of
    ``i * 2654435761 mod 2^32``, red the highest of them.
    """
    index = np.arange(width * height, dtype=np.uint64)
    bits = (index * MULTIPLIER) % (1 << 32) >> 8
    channels = np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=-1)
    return channels.astype(np.uint8).reshape(height, width, 3)


def resize_proofs(rule: Resize) -> list[ResizeProof]:
    """A proof per size, by this rule."""
    from PIL import Image

    proofs = []
    for width, height in SIZES:
        pixels = resized(Image.fromarray(formula_image(width, height)), rule)
        proofs.append(ResizeProof(width, height, hashlib.sha256(pixels.tobytes()).hexdigest()))
    return proofs
