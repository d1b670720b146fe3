"""Which validation images to show, and how much of the evidence lies at their border.

In: samples and `pipeline.shortcuts.inference` of them. Out: `Tile`s for the picture, and `Border`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.metrics.bootstrap import Interval, mean_interval
from pipeline.metrics.classification import decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.data.dataset import Sample
    from pipeline.model_spec import ModelSpec
    from pipeline.shortcuts.inference import Readout

BORDER: Final = 0.1  # of width and height, at each edge: the outer fifth of both
BORDER_AREA: Final = 1 - (1 - 2 * BORDER) ** 2  # 0.36
PER_GROUP: Final = 3
MOST_GROUPS: Final = 8


@dataclass(frozen=True)
class Tile:
    """One image of the picture.

    Attributes:
        number: in the picture, from 1 on.
        row: among the samples.
        group: label, and source where there is one.
        choice: why it was chosen, as a phrase.
        file, label, source: of the sample.
        prob: of the positive label; without one, of the image's own.
        right: is the decision its label?
    """

    number: int
    row: int
    group: str
    choice: str
    file: str
    label: str
    source: str | None
    prob: float
    right: bool


@dataclass(frozen=True)
class Border:
    """Evidence in the outer tenth at each edge: text marks and frames are classic shortcuts.

    Attributes:
        share: of the absolute evidence, mean over the images, interval by patient.
        expected: the share if it lay evenly, which is the border's share of the area.
    """

    share: Interval
    expected: float = BORDER_AREA


def border_share(contrast: NDArray[np.float32]) -> NDArray[np.float64]:
    """The share of each map's absolute values that lies in the border: (N, h, w) -> (N,).

    A place that is half inside the border counts half. A map of zeros has no share: NaN.
    """
    inside = [_inside(size) for size in contrast.shape[1:]]
    weight = 1 - np.outer(*inside)
    amount = np.abs(contrast.astype(np.float64))
    total = amount.sum(axis=(1, 2))
    at_border = (amount * weight).sum(axis=(1, 2))
    shares = np.full(len(total), np.nan)
    np.divide(at_border, total, out=shares, where=total > 0)
    return shares


def _inside(size: int) -> NDArray[np.float64]:
    """How much of each of `size` equal cells lies in the inner part of a line."""
    edges = np.clip(np.arange(size + 1) / size, BORDER, 1 - BORDER)
    return np.diff(edges) * size


def measure_border(contrast: NDArray[np.float32], patients: Sequence[str]) -> Border:
    """The border's share over all images of `contrast` (N, h, w)."""
    return Border(mean_interval(border_share(contrast), patients))


def choose_tiles(
    samples: Sequence[Sample], readout: Readout, spec: ModelSpec, seed: int
) -> tuple[list[Tile], list[str]]:
    """The tiles, up to three of each label and source, and the groups that do not fit.

    The images with the surest and the most wrong output, and one drawn by `seed` from the others.
    The positive label comes first. If there are too many groups, those with most images are shown.
    """
    truth = np.array([spec.labels.index(sample.label) for sample in samples])
    own = readout.probs[np.arange(len(truth)), truth]
    right = decide(readout.probs, spec.positive_index, spec.threshold) == truth
    shown = own if spec.positive_index is None else readout.probs[:, spec.positive_index]
    groups: dict[str, list[int]] = {}
    for i in sorted(range(len(samples)), key=lambda i: _order(samples[i], spec)):
        groups.setdefault(group_name(samples[i]), []).append(i)
    largest = sorted(groups, key=lambda name: -len(groups[name]))[:MOST_GROUPS]
    rng = np.random.default_rng(seed)
    tiles: list[Tile] = []
    for group, rows in groups.items():
        if group not in largest:
            continue
        by_truth = sorted(rows, key=lambda i: -own[i])
        chosen = {by_truth[0]: "surest" if right[by_truth[0]] else "least wrong"}
        if len(rows) > 1:
            chosen[by_truth[-1]] = "least sure" if right[by_truth[-1]] else "most wrong"
        if len(rows) > 2:
            chosen[int(rng.choice(by_truth[1:-1]))] = "at random"
        for i, choice in chosen.items():
            sample = samples[i]
            tiles.append(
                Tile(
                    number=len(tiles) + 1,
                    row=i,
                    group=group,
                    choice=choice,
                    file=sample.file,
                    label=sample.label,
                    source=sample.source,
                    prob=float(shown[i]),
                    right=bool(right[i]),
                )
            )
    return tiles, [group for group in groups if group not in largest]


def group_name(sample: Sample) -> str:
    """Label, and source where there is one."""
    return f"{sample.label} from {sample.source}" if sample.source else sample.label


def _order(sample: Sample, spec: ModelSpec) -> tuple[bool, int, str]:
    return sample.label != spec.positive, spec.labels.index(sample.label), sample.source or ""
