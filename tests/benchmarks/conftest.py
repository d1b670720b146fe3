from __future__ import annotations

from pathlib import Path

import numpy as np

from export.latency.answer_check import Expected
from tests.benchmarks import planted_peer

SIDE = 8
IMAGES = 3


def planted_expected(folder: Path) -> Expected:
    """Three black images, and the output that the planted peer should give for each."""
    file = folder / "images.npy"
    np.save(file, np.zeros((IMAGES, SIDE, SIDE, 3), np.uint8))
    return Expected(file, np.array([planted_peer.ANSWER] * IMAGES, np.float32))
