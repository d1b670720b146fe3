"""A network's outputs: probabilities, and for each class a map of where it saw evidence.

In: the outputs of single inferences. Out: `Answers`, for PyTorch and for every runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBS: Final = "probs"
EVIDENCE: Final = "evidence"


@dataclass(frozen=True, eq=False)
class Answers:
    """The outputs for N images.

    Attributes:
        probs: float32 (N, K), rows sum to 1.
        evidence: float32 (N, K, h, w), the class activation map before the global pool, in logits:
            softmax of its mean over h and w gives `probs` (Zhou et al., arXiv:1512.04150).
            None if the network's head has no such map.
    """

    probs: NDArray[np.float32]
    evidence: NDArray[np.float32] | None = None


def gathered(outputs: Iterable[Sequence[Any]]) -> Answers:
    """One `Answers` from the outputs of single images: each (1, K), or (1, K) and (1, K, h, w)."""
    probs, *evidence = (np.concatenate(arrays) for arrays in zip(*outputs, strict=True))
    return Answers(probs, *evidence[:1])


def named(names: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
    """The relevant outputs for one image: the first, and `EVIDENCE` if it is among the others.

    Args:
        names: of all outputs, in the file's order.
        values: of the same outputs.
    """
    others = dict(zip(names[1:], values[1:], strict=True))
    return (values[0], others[EVIDENCE]) if EVIDENCE in others else (values[0],)


def evidence_diff(
    evidence: NDArray[np.float32], reference: NDArray[np.float32]
) -> NDArray[np.float64]:
    """How far maps are from a reference of the same shape (N, K, h, w): (N,), one number per image.

    The largest difference at any place of any class, in logits, divided by the largest absolute
    value of the image's `reference`, or by 1 where that is smaller. So 1e-4 means: one part in ten
    thousand of the strongest evidence in that image, and at most 1e-4 logits where there is almost
    none. It is infinite if a value is not finite.
    """
    axes = (1, 2, 3)
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.abs(evidence.astype(np.float64) - reference).max(axis=axes)
    found = largest / np.maximum(1.0, np.abs(reference).max(axis=axes))
    return np.where(np.isfinite(found), found, np.inf)
