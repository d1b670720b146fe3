"""What a checkpoint says about its model: everything except the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.json_files import structure
from pipeline.resize.rule import Resize, Size

if TYPE_CHECKING:
    from pipeline.metrics.calibration import Calibration

INTENDED_USE: Final = "Research only: its owner has not said what it may be used for."
MOST_NAMED: Final = 8


@dataclass(frozen=True)
class Example:
    """A picture for those who try a model and have no image at hand.

    Attributes:
        file: its path in a published folder; below ``examples/`` it lies beside the checkpoint too.
        caption: what it shows.
    """

    file: str
    caption: str


DRAWN: Final = (
    Example("golden/images/grey.png", "A drawing in grey"),
    Example("golden/images/colour_jpeg.jpg", "A drawing in colour"),
    Example("golden/images/upright_photo.jpg", "A drawing, stored on its side"),
)


@dataclass(frozen=True)
class Owner:
    """What the owner of a model calls things, and shows; neutral where they say nothing.

    It stands in a file of its own beside ``checkpoint.json``, since it may change while the model
    stays what it is.

    Attributes:
        images: what its images are called, in the plural.
        looks_for: what it looks for in them, in the plural.
        samples: the drawn images that files are proven on where no others are given: a key of
            `export.images.drawn_samples.SAMPLES`.
        examples: of the web page.
    """

    images: str = "images"
    looks_for: str = "what its labels name"
    samples: str = "pictures"
    examples: tuple[Example, ...] = DRAWN


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
        architecture: as `pipeline.architecture_names.canonical` spells it; ``program/NAME`` where
            the checkpoint keeps the network itself.
        labels: K class names; class order is output order, in every format.
        positive: the label that recall and threshold refer to; None for more than two classes.
        threshold: probability of `positive` from which on the decision is `positive`; None: argmax.
        mean, std: per channel RGB, in units of pixel / 255.
        resize: how an image becomes the input, and the input's size.
        metrics: on the validation images, each {value, low, high} or a plain number.
        training: the recipe and where the initial weights came from.
        data: name, fingerprint, images per split and label, how the split was made.
        tools: versions of the packages that made it.
        intended_use: in the owner's words; goes into every artifact.
        compression: of a compressed checkpoint; None: weights are as trained.
        head: of an adopted fastai learner; None: the head of `pipeline.models.networks.Network`.
        owner: the owner's other words, of a file of their own; a compressed model has its parent's.
    """

    name: str
    version: str
    architecture: str
    labels: tuple[str, ...]
    positive: str | None
    threshold: float | None
    resize: Resize
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    intended_use: str = INTENDED_USE
    compression: Compression | None = None
    head: Head | None = None
    owner: Owner = field(default_factory=Owner)

    @property
    def side(self) -> Size:
        """A square input's side in pixels; height and width of another."""
        return self.resize.side

    @property
    def positive_index(self) -> int | None:
        """Position of the positive label in `labels`."""
        return None if self.positive is None else self.labels.index(self.positive)

    @property
    def calibration(self) -> Calibration | None:
        """How its probabilities were calibrated; None: not recorded. Raises BadInput: damaged."""
        from pipeline.metrics.calibration import Calibration

        found = self.training.get("calibration")
        if found is None:
            return None
        return structure(found, Calibration, "calibration of the checkpoint", "train again")


def named(labels: Sequence[str]) -> str:
    """The labels for a person to read: of very many the first ones, and how many more there are."""
    if len(labels) <= MOST_NAMED:
        return ", ".join(labels)
    return f"{', '.join(labels[:MOST_NAMED])} and {len(labels) - MOST_NAMED} more"
