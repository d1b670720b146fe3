"""The weighted layers of a network in the order they are called.

Every format stores the same convolutions and matrix products in the same order, under names of
its own or none. So layers are matched by position, and a weight can be followed from the
checkpoint into each file.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

from export.layers import Layer

if TYPE_CHECKING:
    from export.graph import PixelGraph

WEIGHTED: Final = {"conv": nn.Conv2d, "linear": nn.Linear, "batch_norm": nn.BatchNorm2d}


def folded_network(network: nn.Module) -> nn.Module:
    """The network with each batch norm folded into the convolution before it, as converters do.

    A network without batch norm is returned as it is.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    from torch.fx.experimental.optimization import fuse

    return fuse(copy.deepcopy(network).eval())


def called_modules(network: nn.Module, side: int) -> list[tuple[str, nn.Module]]:
    """Weighted modules of `network` with their names, in call order."""
    names: dict[nn.Module, str] = {module: name for name, module in network.named_modules()}
    called: list[tuple[str, nn.Module]] = []
    hooks = [
        module.register_forward_hook(lambda m, _i, _o: called.append((names[m], m)))
        for module in network.modules()
        if isinstance(module, tuple(WEIGHTED.values()))
    ]
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return called


def normalisation_layer(graph: PixelGraph) -> Layer:
    """What the graph does to pixels first: minus ``weight``, times ``bias``, (3,) each."""
    mean, std = graph.mean.detach().numpy().reshape(-1), graph.std.detach().numpy().reshape(-1)
    return Layer("normalise", "normalisation", {"weight": mean, "bias": 1 / std})


def network_layers(graph: PixelGraph, side: int) -> list[Layer]:
    """The layers of the checkpoint's network, batch norms folded."""
    return [
        _layer(name, module) for name, module in called_modules(folded_network(graph.network), side)
    ]


def _layer(name: str, module: nn.Module) -> Layer:
    kind = next(kind for kind, type_ in WEIGHTED.items() if isinstance(module, type_))
    attributes = {"weight": "weight", "bias": "bias"}
    if kind == "batch_norm":
        attributes |= {"mean": "running_mean", "variance": "running_var"}
    tensors = {key: getattr(module, attribute) for key, attribute in attributes.items()}
    arrays = {
        key: tensor.detach().to(torch.float32).numpy()
        for key, tensor in tensors.items()
        if tensor is not None
    }
    return Layer(kind, name, arrays)
