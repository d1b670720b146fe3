"""One phantom, from its random numbers to its grey levels.

In: a label, a number and a seed. Out: the image, uint8 (H, W). Every step draws from one
generator, so their order is part of the image.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.chest import grow_chest
from pipeline.data.phantom.devices import devices
from pipeline.data.phantom.film import expose, position
from pipeline.data.phantom.letters import burn_in_letters
from pipeline.data.phantom.opacities import another_finding, opacities
from pipeline.data.phantom.tissues import bones, lung_tissue, soft_tissue

LABELS: Final = ("synthetic_clear", "synthetic_opacities")


def draw(label: str, number: int, seed: int = 2) -> NDArray[np.uint8]:
    """Draw phantom `number` (0, 1, ...) of a label: uint8 (H, W), grey, air is black.

    H and W vary from 256 to 340 px. The same arguments give the same bytes, whatever was drawn
    before. On another kind of processor single pixels may differ by one grey level (without
    AVX-512: 2 pixels of 7 million); another numpy may draw other random numbers.
    ValueError for a label that is not in `LABELS`.
    """
    if label not in LABELS:
        raise ValueError(f"unknown label {label!r}: not one of {', '.join(LABELS)}")
    rng = np.random.default_rng([seed, LABELS.index(label), number])
    finding = opacities if label == LABELS[1] else another_finding(rng)
    chest = grow_chest(rng)
    shadow = soft_tissue(rng, chest) + bones(rng, chest)
    shadow += chest.lung * lung_tissue(rng, chest, finding(rng, chest))
    shadow += devices(rng)
    film = expose(rng, position(rng, shadow))
    burn_in_letters(rng, film)
    return film
