"""What was found about shortcuts that a model could take: from `analysis`, for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.metrics.bootstrap import Interval
from pipeline.shortcuts.evidence_maps import Border, Tile
from pipeline.shortcuts.linear_probe import Probe


@dataclass(frozen=True)
class WithinSource:
    """The model's own AUROC on the validation images of one source; None: not run, for `reason`."""

    source: str
    images: int
    auroc: Interval | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Shortcuts:
    """What was found.

    Attributes:
        name, version: of the model.
        data_name: of the data set.
        same_images: are these the images that the checkpoint was made of?
        images: analysed, and present, per split.
        counts: validation and training images by label and source, ``none`` where it is not named.
        seed: of every draw.
        no_sources: why nothing can be said about sources; None: something can.
        confounding: sentences on where the data themselves tie source and label together.
        auroc: of the model on all these validation images.
        within: a source each.
        probes: of the source and of the label.
        border: how much evidence lies at the edge; None: the head keeps no map.
        tiles: the images in the picture.
        left_out: groups of images that do not fit into the picture.
        no_evidence: why there is no picture; None: there is.
        group: what is drawn whole for the intervals: an image, or what images belong to.
    """

    name: str
    version: str
    data_name: str
    same_images: bool
    images: Mapping[str, tuple[int, int]]
    counts: Mapping[str, Mapping[str, int]]
    seed: int
    no_sources: str | None
    confounding: tuple[str, ...]
    auroc: Interval
    within: tuple[WithinSource, ...]
    probes: tuple[Probe, ...]
    border: Border | None
    tiles: tuple[Tile, ...]
    left_out: tuple[str, ...]
    no_evidence: str | None
    group: str = "image"
