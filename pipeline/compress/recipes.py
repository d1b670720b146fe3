"""What a checkpoint can be compressed to: the precisions, and the recipe behind each.

``int8``: weights and activations in 8 bits, calibrated on training images.
``w4``, ``w3``: weights in 4 bits, or 3 on average, arithmetic in floating point.
All are rounded layer by layer, then fine-tuned through the rounding with the model itself as
teacher: int8 only where rounding alone fails the quality gate. Of the two the better one is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.compress.bit_allocation import CHOICES, allocate_levels
from pipeline.errors import BadInput, require_between

if TYPE_CHECKING:
    from torch import Tensor, nn

SMALL_SHARE: Final = 0.02
SMALL_LEVELS: Final = 127


@dataclass(frozen=True)
class Recipe:
    """How a precision is made.

    Attributes:
        levels: largest code of a weight; None: each layer's own, within `mean_bits`.
        mean_bits: budget of bits per weight (`pipeline.compress.bit_allocation`), if there are no
            `levels`.
        activations: whether they are rounded to 8 bits as well.
        epochs: of fine-tuning over the training images; 0: none; None: as many as make `steps`.
        steps: of fine-tuning, rounded up to whole epochs: what is learnt depends on how often the
            weights are changed, whether there are 100 training images or 5,000.
        only_if_needed: fine-tune only where rounding alone fails the quality gate.
        lr: its peak learning rate (one cycle).
        batch_size, seed, threads: as in training.
        calibration_images: training images, evenly spaced, that layers and ranges are fitted on.
        arithmetic: of fine-tuning, as in training; the result is float32.
    """

    levels: int | None
    mean_bits: float = 0.0
    activations: bool = False
    epochs: int | None = None
    steps: int = 0
    only_if_needed: bool = False
    lr: float = 5e-4
    batch_size: int = 16
    seed: int = 2
    threads: int = 0
    calibration_images: int = 128
    arithmetic: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what is impossible, before any image is read.

        Raises:
            BadInput: with the field, its value and the allowed values.
        """
        limits = {
            **({} if self.epochs is None else {"epochs": (0, 10_000)}),
            "steps": (0, 1_000_000),
            "lr": (0, 10),
            "batch_size": (1, 4096),
            "seed": (0, 2**32 - 1),
            "threads": (0, 1024),
            "calibration_images": (1, 100_000),
        }
        require_between(self, limits)
        if self.levels is None and self.mean_bits < min(CHOICES.values()):
            raise BadInput(f"mean_bits {self.mean_bits} is less than the coarsest grid takes")

    def epochs_over(self, images: int) -> int:
        """Of fine-tuning over so many training images."""
        if self.epochs is not None:
            return self.epochs
        return math.ceil(self.steps * self.batch_size / images)


PRECISIONS: Final[Mapping[str, Recipe]] = {
    "int8": Recipe(levels=127, activations=True, steps=600, only_if_needed=True),
    "w4": Recipe(levels=7, steps=600),
    "w3": Recipe(levels=None, mean_bits=3.0, steps=1200),
}


def levels_of(
    network: nn.Module, names: Sequence[str], batches: Sequence[Tensor], recipe: Recipe
) -> dict[str, int]:
    """Levels for each of the layers `names`.

    With one number of levels for all, a layer with less than `SMALL_SHARE` of the weights still
    keeps 8 bits: rounding it (the first and last layers, for example) costs accuracy and saves
    almost nothing.
    """
    if recipe.levels is None:
        return allocate_levels(network, names, batches, recipe.mean_bits, recipe.seed)
    weights = dict(network.named_parameters())
    sizes = {name: weights[f"{name}.weight"].numel() for name in names}
    least = SMALL_SHARE * sum(sizes.values())
    return {n: SMALL_LEVELS if size < least else recipe.levels for n, size in sizes.items()}
