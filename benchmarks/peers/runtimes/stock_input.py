"""The input of the stock recipes: normalised float32 NCHW, made outside the timed call.

That favours them: the other rows start from the bitmap.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

NORMALISATION_FILE: Final = "normalisation.json"
TIMED: Final = (
    "float32 NCHW in, already normalised outside the timed call (which favours it), softmax in the "
    "graph"
)


def write_normalisation(checkpoint: Path, folder: Path) -> None:
    """Keep mean and std of the checkpoint next to the converted file."""
    from pipeline.checkpoint import open_checkpoint

    spec = open_checkpoint(checkpoint).spec
    text = json.dumps({"mean": spec.mean, "std": spec.std})
    (folder / NORMALISATION_FILE).write_text(text, encoding="utf-8")


def normaliser(folder: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """A function: uint8 (1, H, W, 3) -> float32 (1, 3, H, W), normalised."""
    found = json.loads((folder / NORMALISATION_FILE).read_text(encoding="utf-8"))
    mean, std = (np.asarray(found[key], np.float32) for key in ("mean", "std"))

    def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        scaled = (images.astype(np.float32) / 255 - mean) / std
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)

    return normalise
