"""What a checkpoint says about its model: everything except the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.images import RESIZE_RULE

INTENDED_USE: Final = "Research only. Not a medical device; never use it for diagnosis."


@dataclass(frozen=True)
class Head:
    """A head of dense layers after pools, as fastai's `vision_learner` makes them.

    Attributes:
        pool: ``concat_pool``: the body's global maxima, then its global averages;
            ``average_pool``: the averages alone.
        hidden: outputs of each dense layer before the last, each followed by a ReLU.
    """

    pool: str
    hidden: tuple[int, ...]


@dataclass(frozen=True)
class Compression:
    """How a compressed checkpoint came from its parent.

    Attributes:
        precision: ``int8``, ``w4`` or ``w3``, as in `pipeline.compress.recipes`.
        parent_sha256: identity of the checkpoint it was made from.
        levels: largest code of each weight on a grid, by the weight's name.
        activations: scale and zero point (uint8) of each activation, by its place in the network;
            empty where activations stay in floating point.
        comparison: with the parent, on the validation images
            (`pipeline.metrics.paired_comparison`).
    """

    precision: str
    parent_sha256: str
    levels: Mapping[str, int]
    activations: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    comparison: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """Everything about a model except its weights.

    Attributes:
        name: identifier of the model, letters, digits and underscores; artifacts are named by it.
        version: of the trained model, raised with each release of new weights.
        architecture: a key of `pipeline.models.networks.NETWORKS`.
        labels: K class names; class order is output order, in every format.
        positive: the label that recall and threshold refer to; None for more than two classes.
        threshold: probability of `positive` from which on the decision is `positive`; None: argmax.
        side: width and height of the input in pixels.
        mean, std: per channel RGB, in units of pixel / 255.
        resize: the one resize rule (`pipeline.images`).
        metrics: on the validation images, each {value, low, high} or a plain number.
        training: the recipe and where the initial weights came from.
        data: name, fingerprint, images per split and label, how the split was made.
        tools: versions of the packages that made it.
        intended_use: goes into every artifact.
        compression: of a compressed checkpoint; None: weights are as trained.
        head: of an adopted fastai learner; None: the head of `pipeline.models.networks.Network`.
    """

    name: str
    version: str
    architecture: str
    labels: tuple[str, ...]
    positive: str | None
    threshold: float | None
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Mapping[str, object] = field(default_factory=lambda: dict(RESIZE_RULE))
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    intended_use: str = INTENDED_USE
    compression: Compression | None = None
    head: Head | None = None

    @property
    def positive_index(self) -> int | None:
        """Position of the positive label in `labels`."""
        return None if self.positive is None else self.labels.index(self.positive)
