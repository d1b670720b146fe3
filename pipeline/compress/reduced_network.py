"""A network in fewer bits: rounded, and fine-tuned through the rounding.

In: the network, calibration images, and for fine-tuning the training images. Out: `Reduced`. How
good it is, and so whether rounding alone will do, is for `pipeline.compress.compress` to say.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from pipeline.compress.activation_quantization import calibrate, int8_variant, unrounded_variant
from pipeline.compress.distillation import finetune_on_grids
from pipeline.compress.gptq import round_network, weighted_layers
from pipeline.compress.recipes import levels_of

if TYPE_CHECKING:
    from fastai.data.core import DataLoaders
    from torch import Tensor, nn

    from pipeline.compress.recipes import Recipe
    from pipeline.quantization_grid import Grid


@dataclass(frozen=True)
class Reduced:
    """A network whose weights are on grids.

    Attributes:
        network: with the weights of `grids`, and biases in fp16.
        grids: by weight name.
        activations: scale and zero point of each place; empty: activations are not rounded.
        epochs: of fine-tuning that it has had.
        lr: the peak learning rate of that.
    """

    network: nn.Module
    grids: Mapping[str, Grid]
    activations: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    epochs: int = 0
    lr: float = 0.0

    def variant(self) -> nn.Module:
        """The network with its activations rounded, if they are: what a file computes."""
        if not self.activations:
            return self.network
        return int8_variant(self.network, self.activations, self.grids)


def rounded(parent: nn.Module, batches: Sequence[Tensor], recipe: Recipe) -> Reduced:
    """`parent` rounded layer by layer; `batches`: calibration images as it sees them."""
    network = copy.deepcopy(parent)
    levels = levels_of(parent, weighted_layers(parent), batches, recipe)
    grids = round_network(network, batches, levels, recipe.seed)
    activations = calibrate(network, batches) if recipe.activations else {}
    return Reduced(network, grids, activations)


def finetuned(start: Reduced, parent: nn.Module, loaders: DataLoaders, recipe: Recipe) -> Reduced:
    """`start` fine-tuned with `parent` as its teacher, through all that is rounded in it."""
    network, teacher = copy.deepcopy(start.network), copy.deepcopy(parent)
    if not start.activations:
        grids, lr = finetune_on_grids(network, start.grids, teacher, loaders, recipe)
        return Reduced(network, grids, {}, _epochs(recipe, lr), lr)
    student = int8_variant(network, start.activations, start.grids)
    teacher = unrounded_variant(teacher, start.activations)
    # Steps that suit the body are large for the last layer, whose 8 bits lose next to nothing.
    *_, last = start.grids
    grids, lr = finetune_on_grids(student, start.grids, teacher, loaders, recipe, fixed=[last])
    learnt = dict(student.named_parameters())
    with torch.no_grad():
        for name, ours in network.named_parameters():
            ours.copy_(learnt.get(name, ours))
    return Reduced(network, grids, start.activations, _epochs(recipe, lr), lr)


def _epochs(recipe: Recipe, lr: float) -> int:
    return recipe.epochs or 0 if lr else 0
