"""Evidence compared with PyTorch's: does the second output show what the network saw, and where?

In: outputs of a file and of PyTorch for the same images. Out: how they compare, and what is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from export.deploy.outputs import evidence_diff, in_parts
from export.parity.entries import EvidenceEntry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.deploy.outputs import Answers

# Between a file's own two outputs, probabilities that went through fp16 included. Compared with
# PyTorch each has a tolerance of its own; this one does not grow with it.
AVERAGE_TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class EvidenceAgreement:
    """How evidence compares, over all images.

    Attributes:
        max_rel_diff: largest difference of any value, in logits, divided by the largest absolute
            value of the image's own evidence in PyTorch (by 1 where that is smaller).
        shape: of the output: (1, K, h, w).
        worst_image: where that difference is.
    """

    max_rel_diff: float
    shape: tuple[int, ...]
    worst_image: str

    def entry(self) -> EvidenceEntry:
        """The form in documents."""
        known = math.isfinite(self.max_rel_diff)
        return EvidenceEntry(self.max_rel_diff if known else None, self.shape, self.worst_image)


def compare_evidence(
    answers: Answers,
    reference: Answers,
    names: Sequence[str],
    allowed: NDArray[np.floating] | float,
) -> tuple[EvidenceAgreement | None, list[str]]:
    """Compare a file's evidence with PyTorch's, and with the file's own probabilities.

    Args:
        answers: of the file for N images, with evidence.
        reference: PyTorch's.
        names: of the images.
        allowed: for `EvidenceAgreement.max_rel_diff`; (N,), or the same on each image.

    Returns:
        The agreement, None if the shapes differ; and a sentence for each fault.
    """
    assert answers.evidence is not None
    evidence = answers.evidence
    if reference.evidence is None:
        return None, [f"it gives evidence {evidence.shape[1:]}, PyTorch has none"]
    if evidence.shape != reference.evidence.shape:
        return None, [f"shape {evidence.shape}, PyTorch's {reference.evidence.shape}"]
    diff = evidence_diff(evidence, reference.evidence)
    worst = int(np.argmax(diff))
    most = np.broadcast_to(allowed, diff.shape)
    with np.errstate(invalid="ignore"):
        furthest = int(np.argmax(diff - most))
    agreement = EvidenceAgreement(float(diff[worst]), (1, *evidence.shape[1:]), names[worst])
    faults = []
    finite = in_parts(_finite, evidence)
    if not finite.all():
        faults.append(f"{int((~finite).sum())} images with NaN or infinite evidence")
    if not diff[furthest] <= most[furthest]:
        faults.append(
            f"differs by {diff[furthest]:.1e} > {most[furthest]:.0e} of its largest value on "
            f"{names[furthest]}"
        )
    if finite.all() and answers.probs.shape == reference.probs.shape:
        off = np.abs(in_parts(_softmax_of_mean, evidence) - answers.probs).max(axis=1)
        if not off.max() <= AVERAGE_TOLERANCE:
            faults.append(
                f"does not average to the logits: softmax of its mean is {off.max():.1e} > "
                f"{AVERAGE_TOLERANCE:.0e} from probs on {names[int(np.argmax(off))]}"
            )
    return agreement, faults


def _finite(evidence: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(evidence).all(axis=(1, 2, 3)))


def _softmax_of_mean(evidence: NDArray[np.float32]) -> NDArray[np.float64]:
    logits = evidence.mean(axis=(2, 3), dtype=np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
