"""What a file may differ from PyTorch by, image by image.

The tolerance of its format and precision; more on an image where rounding alone moves PyTorch's own
outputs further, so that no network is refused for enlarging it; and never so much that a wrong
operation could hide in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from export.parity.entries import RoundingEntry
from export.parity.rounding_noise import FEW, MANY, rounding_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.formats.description import Tolerance
    from export.formats.facts import Arithmetic
    from export.parity.reference import Reference

    Numbers = NDArray[np.floating]

FACTOR: Final = 2.0  # of what was seen in a few draws
# Of many; or where equal numbers are rounded alike: a code goes the other way in full, or does not.
LITTLE: Final = 1.1
# Until one of them explains a file: the factor, whether alike, and how many draws.
WAYS: Final = ((FACTOR, False, FEW), (LITTLE, True, FEW), (LITTLE, False, MANY))
# Of probabilities and evidence: a wrong operation, or swapped classes or places, is beyond it.
MOST: Final = (0.25, 0.5)
AT_A_TIME: Final = 8  # images whose noise is measured; one that it does not explain ends it
SURE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Allowance:
    """(N,) each: the largest difference that is allowed on an image.

    Attributes:
        probs: of any probability.
        evidence: as `export.deploy.outputs.evidence_diff` defines it.
        rounding: what was allowed beyond the tolerance; None: nothing.
    """

    probs: Numbers
    evidence: Numbers
    rounding: RoundingEntry | None = None


def plain_allowance(reference: Numbers, tolerance: Tolerance) -> Allowance:
    """The tolerance alone, for each image; `reference` is PyTorch's probabilities (N, K).

    Of many classes each probability is small, and so is any difference. Where the largest one is
    below one half, the tolerance of probabilities shrinks with it; of two classes it never is.
    """
    largest = reference.max(axis=1).astype(np.float64)
    probs = tolerance.max_abs_diff * np.minimum(1.0, largest / SURE)
    return Allowance(probs, np.full(len(probs), tolerance.max_evidence_diff))


def allowance(
    probs_diff: Numbers,
    evidence_diff: Numbers,
    reference: Reference,
    tolerance: Tolerance,
    arithmetic: Arithmetic,
) -> Allowance:
    """More than the tolerance where that is needed, and where rounding explains it.

    Args:
        probs_diff, evidence_diff: (N,), how far a file is off on each image; what is not finite is
            never explained.
        reference: what it was compared with.
        tolerance, arithmetic: of its format and precision.
    """
    plain = plain_allowance(reference.probs, tolerance)
    probs, evidence = plain.probs.copy(), plain.evidence.copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = np.maximum(probs_diff / np.abs(probs), evidence_diff / np.abs(evidence))
    over = ~((probs_diff <= probs) & (evidence_diff <= evidence))
    waiting = [row for row in np.argsort(-excess, kind="stable").tolist() if over[row]]
    explicable = (probs_diff <= MOST[0]) & (evidence_diff <= MOST[1])
    if not waiting or not explicable[waiting].all():
        return plain
    moves = np.zeros(2)
    for start in range(0, len(waiting), AT_A_TIME):
        rows = waiting[start : start + AT_A_TIME]
        for factor, alike, draws in WAYS:
            noise = rounding_noise(reference, arithmetic, rows, alike, draws)
            probs[rows] = np.maximum(probs[rows], np.minimum(factor * noise.probs, MOST[0]))
            evidence[rows] = np.maximum(
                evidence[rows], np.minimum(factor * noise.evidence, MOST[1])
            )
            moves = np.maximum(moves, [noise.probs.max(), noise.evidence.max()])
            explained = (probs_diff[rows] <= probs[rows]) & (evidence_diff[rows] <= evidence[rows])
            if explained.all():
                break
        else:
            return Allowance(probs, evidence)  # it fails, whatever the rest would be
    return Allowance(probs, evidence, RoundingEntry(len(waiting), *moves.tolist()))
