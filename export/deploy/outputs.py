"""A network's outputs: probabilities, and for each class a map of where it saw evidence.

In: the outputs of single inferences. Out: `Answers`, for PyTorch and for every runtime. Where the
images are many their maps of evidence are kept in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.image_files.array_file import ArrayFile, batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Maps = NDArray[np.float32] | ArrayFile

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
    evidence: Maps | None = None


def gathered(outputs: Iterable[Sequence[Any]]) -> Answers:
    """One `Answers` from the outputs of single images: each (1, K), or (1, K) and (1, K, h, w)."""
    probs, *evidence = (np.concatenate(arrays) for arrays in zip(*outputs, strict=True))
    return Answers(probs, *evidence[:1])


def answers_in_parts(
    run: Callable[[NDArray[np.uint8]], Answers],
    images: NDArray[np.uint8] | ArrayFile,
    part_bytes: int | None = None,
) -> Answers:
    """What `run` answers for uint8 (N, H, W, 3), a part of the images at a time.

    Neither all images nor all maps of evidence are in memory at once. `part_bytes` of images are a
    part (`pipeline.image_files.array_file.batches`).
    """
    probs, evidence = [], None
    for start, part in batches(images, part_bytes):
        found = run(part)
        probs.append(found.probs)
        if found.evidence is not None:
            maps = found.evidence[:]
            evidence = evidence or ArrayFile((len(images), *maps.shape[1:]), maps.dtype)
            evidence.write(start, maps)
    return Answers(np.concatenate(probs), evidence)


def in_parts(function: Callable[..., NDArray[Any]], arrays: Maps, *others: Maps) -> NDArray[Any]:
    """`function` of arrays (N, ...) that gives a number or a row for each, a part at a time."""
    return np.concatenate(
        [
            function(part, *(other[start : start + len(part)] for other in others))
            for start, part in batches(arrays)
        ]
    )


def named(names: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
    """The relevant outputs for one image: the first, and `EVIDENCE` if it is among the others.

    Args:
        names: of all outputs, in the file's order.
        values: of the same outputs.
    """
    others = dict(zip(names[1:], values[1:], strict=True))
    return (values[0], others[EVIDENCE]) if EVIDENCE in others else (values[0],)


def evidence_diff(evidence: Maps, reference: Maps) -> NDArray[np.float64]:
    """How far maps are from a reference of the same shape (N, K, h, w): (N,), one number per image.

    The largest difference at any place of any class, in logits, divided by the largest absolute
    value of the image's `reference`, or by 1 where that is smaller. So 1e-4 means: one part in ten
    thousand of the strongest evidence in that image, and at most 1e-4 logits where there is almost
    none. It is infinite if a value is not finite.
    """
    return in_parts(_evidence_diff, evidence, reference)


def _evidence_diff(
    evidence: NDArray[np.float32], reference: NDArray[np.float32]
) -> NDArray[np.float64]:
    axes = (1, 2, 3)
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.abs(evidence.astype(np.float64) - reference).max(axis=axes)
    found = largest / np.maximum(1.0, np.abs(reference).max(axis=axes))
    return np.where(np.isfinite(found), found, np.inf)
