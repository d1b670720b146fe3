"""Letters on the film: the word SYNTHETIC, and the side marker of real films.

In: a film, uint8 (H, W). Out: the same film, written on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.canvas import Random

WHITE: Final = np.uint8(235)
# 3 x 5 dots a letter, rows from the top.
LETTERS: Final = {
    "C": "### #.. #.. #.. ###",
    "E": "### #.. ##. #.. ###",
    "H": "#.# #.# ### #.# #.#",
    "I": "### .#. .#. .#. ###",
    "L": "#.. #.. #.. #.. ###",
    "N": "##. #.# #.# #.# #.#",
    "R": "##. #.# ##. #.# #.#",
    "S": "### #.. ### ..# ###",
    "T": "### .#. .#. .#. .#.",
    "Y": "#.# #.# .#. .#. .#.",
}


def burn_in_letters(rng: Random, film: NDArray[np.uint8]) -> None:
    """Write SYNTHETIC into a random corner, and often the side marker, as on real films."""
    height, width = film.shape
    word = spell("SYNTHETIC", 1 + int(rng.random() < 0.5))
    at_y = int(rng.choice([4, height - 4 - word.shape[0]]))
    at_x = int(rng.choice([4, width - 4 - word.shape[1]]))
    film[at_y : at_y + word.shape[0], at_x : at_x + word.shape[1]] = word
    if rng.random() < 0.6:
        on_left = rng.random() < 0.5
        marker = spell("R" if on_left else "L", 3)
        at_y = int(rng.uniform(0.07, 0.25) * height)
        at_x = int(rng.uniform(0.03, 0.08) * width)
        at_x = at_x if on_left else width - at_x - marker.shape[1]
        corner = film[at_y : at_y + marker.shape[0], at_x : at_x + marker.shape[1]]
        np.maximum(corner, marker, out=corner)


def spell(text: str, dot_px: int) -> NDArray[np.uint8]:
    """White letters on black, with a border of one dot."""
    rows = [
        "." + ".".join(LETTERS[letter].split()[row] for letter in text) + "." for row in range(5)
    ]
    dots = np.array([[dot == "#" for dot in row] for row in rows], np.uint8)
    return np.pad(dots, ((1, 1), (0, 0))).repeat(dot_px, axis=0).repeat(dot_px, axis=1) * WHITE
