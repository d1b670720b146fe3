"""Places in a network, named by their kind and not by the network's own names."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TypeVar

import torch
from torch import Tensor, nn

from benchmarks.faults.fault import DoesNotApply

Module = TypeVar("Module", bound=nn.Module)


def layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """The convolutions and dense layers, in the order of the modules."""
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def middle_layer(network: nn.Module) -> nn.Conv2d | nn.Linear:
    """Neither the first layer nor the last."""
    found = layers(network)
    return found[len(found) // 2]


def last_layer(network: nn.Module) -> nn.Conv2d | nn.Linear:
    """The one that gives the logits."""
    return layers(network)[-1]


def dense_layer(network: nn.Module) -> nn.Linear:
    """The first dense layer. Raises DoesNotApply."""
    return _first(all_of(network, nn.Linear), "no dense layer")


def first_kernel(network: nn.Module) -> Tensor:
    """The weight of the first convolution, (outputs, inputs, rows, columns)."""
    return _first(all_of(network, nn.Conv2d), "no convolution").weight


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """At least one batch norm. Raises DoesNotApply."""
    found = all_of(network, nn.BatchNorm2d)
    _first(found, "no batch norm")
    return found


def depthwise_kernel(network: nn.Module) -> Tensor:
    """The weight of the first convolution in groups. Raises DoesNotApply."""
    grouped = [layer for layer in all_of(network, nn.Conv2d) if layer.groups > 1]
    return _first(grouped, "no convolution in groups").weight


def free_parameter(network: nn.Module) -> Tensor:
    """The first that belongs to no layer and no normalisation. Raises DoesNotApply."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)
    others = [m for m in network.modules() if not isinstance(m, kinds)]
    found = [parameter for module in others for parameter in module.parameters(recurse=False)]
    return _first(found, "no parameter outside of layers and normalisations")


def biases(network: nn.Module) -> list[Tensor]:
    """Of all layers and batch norms that have one other than zero, except the last layer's."""
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    found = [m.bias for m in network.modules() if isinstance(m, kinds)][:-1]
    return [bias for bias in found if bias is not None and bool(bias.abs().max() > 0)]


def first_two_of_one_shape(tensors: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Two tensors of one shape and different values. Raises DoesNotApply."""
    pairs = combinations(tensors, 2)
    alike = [(a, b) for a, b in pairs if a.shape == b.shape and not torch.equal(a, b)]
    return _first(alike, "no two of one shape")


def all_of(network: nn.Module, kind: type[Module]) -> list[Module]:
    """The modules of one kind."""
    return [module for module in network.modules() if isinstance(module, kind)]


Found = TypeVar("Found")


def _first(found: list[Found], lacking: str) -> Found:
    if not found:
        raise DoesNotApply(f"the network has {lacking}")
    return found[0]
