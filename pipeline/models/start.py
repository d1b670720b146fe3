"""How a network starts: weights that somebody trained, where they come from, what they expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

Triple = tuple[float, float, float]  # one for each of red, green, blue

IMAGENET_MEAN: Final[Triple] = (0.485, 0.456, 0.406)
IMAGENET_STD: Final[Triple] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Weights:
    """Trained weights.

    Attributes:
        state: tensors by name, of a body or of a library's whole network.
        origin: in one sentence.
        mean, std: of the pixels they were trained on, per channel RGB, in units of pixel / 255.
    """

    state: Mapping[str, Tensor]
    origin: str
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD


@dataclass(frozen=True)
class Start:
    """What a body starts from: the `origin` of its weights, and their normalisation."""

    origin: str
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
