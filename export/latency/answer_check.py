"""Fast wrong outputs are not timed: probabilities are compared with PyTorch's before the timing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Expected:
    """What a target must output.

    Attributes:
        images_file: a .npy file of images, uint8 (N, H, W, 3).
        probs: PyTorch's probabilities for them, float32 (N, K).
    """

    images_file: Path
    probs: NDArray[np.float32]


def disagreement(
    answered: object, expected: Expected, limit: float | None
) -> tuple[float | None, str]:
    """The largest |Δp|, None if there is none; and why these outputs are wrong, else empty.

    Args:
        answered: probabilities as nested lists or array, (N, K).
        expected: the probabilities to compare them with.
        limit: the largest |Δp| allowed; None: any.
    """
    probs = np.asarray(answered, dtype=np.float64)
    if probs.shape != expected.probs.shape:
        return None, f"gives {probs.shape}, PyTorch {expected.probs.shape}"
    if not np.isfinite(probs).all():
        return None, "gives a probability that is not finite"
    differences = np.abs(probs - expected.probs)
    largest = float(differences.max())
    if limit is not None and largest > limit:
        wrong = int((differences.max(axis=1) > limit).sum())
        return largest, (
            f"max |Δp| {largest:.1e} > {limit:.1e} from PyTorch's, "
            f"on {wrong} of {len(probs)} images"
        )
    return largest, ""
