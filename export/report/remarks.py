"""What must be said of files that passed: what else was allowed, what so few images cannot tell.

In: the artifacts of a report. Out: sentences, for the screen and for the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.metrics.quality_limits import images_that_tell

if TYPE_CHECKING:
    from export.report.report import Artifact


def remarks(artifacts: Sequence[Artifact]) -> list[str]:
    """All of them, in this order: rounding, then few images."""
    return [*_enlarged_rounding(artifacts), *_few_images(artifacts)]


def _enlarged_rounding(artifacts: Sequence[Artifact]) -> list[str]:
    """Which files were allowed more than their tolerance, and why."""
    return [
        f"{artifact.name}: on {found.images} of {artifact.parity.images} images PyTorch's own "
        f"outputs move by rounding alone, by up to |Δp| {found.max_abs_diff:.1e}, evidence "
        f"{found.max_rel_diff:.1e}; the network enlarges it there, and the file, which is no "
        "further off, is right"
        for artifact in artifacts
        if (found := artifact.parity.rounding) is not None
        and artifact.verdict in ("pass", "accepted")
    ]


def _few_images(artifacts: Sequence[Artifact]) -> list[str]:
    """Which precisions may be within the limits of the quality gate or beyond them."""
    names: dict[int, list[str]] = {}
    for artifact in artifacts:
        accuracy = artifact.accuracy
        if artifact.verdict == "pass" and accuracy is not None and accuracy.undecided_limits:
            names.setdefault(accuracy.images or 0, []).append(artifact.name)
    return [
        f"{f'{images} labelled images are too few' if images else 'labelled images are needed'} to "
        f"tell surely whether the model loses too much as {', '.join(dict.fromkeys(found))}; "
        f"{images_that_tell()} without a changed label would tell"
        for images, found in names.items()
    ]
