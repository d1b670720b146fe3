"""A few parity images instead of all, where an image takes seconds: the most informative ones.

In: `References` on N images. Out: `References` on a few of them, with the number left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from export.deploy.outputs import Answers
from export.parity.reference import References

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.images.parity_images import ParityImages


def telling_references(references: References, variants: Sequence[str], count: int) -> References:
    """The references on at most `count` images, for instance 6 of 34.

    Where weights of fewer bits move the output most, other arithmetic does too. The groups
    (validation, golden, hard) take turns, so that each contributes a few images.

    Args:
        references: on N images.
        variants: those that the files to check are made from; each is run on all N here.
        count: at least 1.
    """
    answers = {
        variant: references.of(variant).answers for variant in dict.fromkeys(("fp32", *variants))
    }
    spread = np.ptp([each.probs for each in answers.values()], axis=0).max(axis=1)  # (N,)
    rows = telling_rows(references.images.groups, spread, count)
    return References(
        checkpoint=references.checkpoint,
        images=_images(references.images, rows),
        answers={variant: _answers(each, rows) for variant, each in answers.items()},
        graphs=references.graphs,
    )


def telling_rows(groups: Sequence[str], spread: NDArray[np.float32], count: int) -> list[int]:
    """Rows of the `count` largest of `spread`, float (N,), the groups taking turns; sorted."""
    ranks: list[tuple[int, int, int]] = []
    for turn, group in enumerate(dict.fromkeys(groups)):
        members = [row for row, name in enumerate(groups) if name == group]
        members.sort(key=lambda row: -spread[row])
        ranks += [(rank, turn, row) for rank, row in enumerate(members)]
    return sorted(row for _, _, row in sorted(ranks)[:count])


def _images(images: ParityImages, rows: list[int]) -> ParityImages:
    labelled = [row for row in rows if row < len(images.truth)]
    count = f"{len(rows)} of {len(images.names)} images"
    return replace(
        images,
        names=tuple(images.names[row] for row in rows),
        groups=tuple(images.groups[row] for row in rows),
        pixels=images.pixels[rows],
        source=images.source
        if len(rows) == len(images.names)
        else f"{count}, those that tell most, of {images.source}",
        truth=tuple(images.truth[row] for row in labelled),
        patients=tuple(images.patients[row] for row in labelled),
    )


def _answers(answers: Answers, rows: list[int]) -> Answers:
    evidence = answers.evidence
    return Answers(answers.probs[rows], None if evidence is None else evidence[rows])
