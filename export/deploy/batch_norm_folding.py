"""Batch norms are folded once, before any converter sees the network.

In: a network in evaluation mode. Out: the same function with fewer operations. A batch norm after
a convolution becomes part of it: w' = w s, b' = (b - mean) s + beta, with
s = gamma / sqrt(var + eps). One before a ReLU and a convolution (DenseNet's, He et al.,
arXiv:1603.05027) cannot be folded, and stays.

Every product is computed in float64 and rounded once, by operations that IEEE 754 rounds correctly;
so two machines fold to the same bits, and a file's weights can be compared with these exactly. The
converters themselves each fold in a different order, and torch 2.12's `optimize_for_mobile` loses
the bias if the convolution had none.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import fx, nn

from export.deploy.layers import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph


def folded_network(network: nn.Module) -> nn.Module:
    """The network with each batch norm folded into the convolution before it.

    A network without batch norm is returned as it is.
    """
    if not has_norms(network):
        return network
    traced = fx.symbolic_trace(copy.deepcopy(network).eval())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    for node in list(traced.graph.nodes):
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or len(before.users) > 1:
            continue
        convolution, norm = _called(traced, before), _called(traced, node)
        if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        if calls[before.target] > 1 or calls[node.target] > 1:
            continue
        _fold(convolution, norm)
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def folded_graph(graph: DeployGraph) -> DeployGraph:
    """The deploy graph of the folded network; the graph itself if there is nothing to fold."""
    return with_network(graph, folded_network(graph.pixels.network))


def with_network(graph: DeployGraph, network: nn.Module) -> DeployGraph:
    """The deploy graph with another network; the graph itself if it has that network already."""
    before = graph.pixels.network
    return graph if network is before else copy.deepcopy(graph, {id(before): network})


def norms_as_convolutions(network: nn.Module) -> nn.Module:
    """The network with each batch norm as a depthwise 1x1 convolution.

    For XNNPACK, which runs one, with the ReLU after it, in a single pass over its input. A network
    without batch norm is returned as it is.
    """
    if not has_norms(network):
        return network
    made = copy.deepcopy(network)
    for name, norm in list(made.named_modules()):
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        scale, shift = norm_scale_and_shift(norm)
        channels = len(scale)
        convolution = nn.Conv2d(channels, channels, 1, groups=channels)
        assert convolution.bias is not None
        with torch.no_grad():
            convolution.weight.copy_(torch.from_numpy(scale).reshape(-1, 1, 1, 1))
            convolution.bias.copy_(torch.from_numpy(shift))
        parent, _, child = name.rpartition(".")
        setattr(made.get_submodule(parent), child, convolution)
    return made


def has_norms(network: nn.Module) -> bool:
    """Whether it contains a batch norm."""
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def as_scale(layer: Layer) -> Layer:
    """A layer of kind ``batch_norm`` as one of kind ``scale``."""
    weight, bias = scale_and_shift(layer.tensors)
    return Layer("scale", layer.name, {"weight": weight, "bias": bias})


def scale_and_shift(norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale and shift of a batch norm, float32 (C,) each, from its tensors in a `Layer`."""
    scale, shift = _exact(norm)
    return scale.astype(np.float32), shift.astype(np.float32)


def norm_scale_and_shift(
    norm: nn.BatchNorm2d,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The same of a module."""
    return scale_and_shift(_tensors(norm))


def _exact(norm: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gamma, beta, mean, variance, epsilon = (
        np.asarray(norm[key], np.float64)
        for key in ("weight", "bias", "mean", "variance", "epsilon")
    )
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    scale, shift = _exact(_tensors(norm))
    weight = convolution.weight.detach().double().numpy() * scale.reshape(-1, 1, 1, 1)
    if convolution.bias is not None:
        shift = shift + convolution.bias.detach().double().numpy() * scale
    convolution.weight = nn.Parameter(torch.from_numpy(weight).float(), requires_grad=False)
    convolution.bias = nn.Parameter(torch.from_numpy(shift).float(), requires_grad=False)


def _tensors(norm: nn.BatchNorm2d) -> dict[str, Any]:
    """In the form of a `Layer`; ones and zeros without affine parameters."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
    return {
        "weight": np.ones_like(mean) if norm.weight is None else norm.weight.detach().numpy(),
        "bias": np.zeros_like(mean) if norm.bias is None else norm.bias.detach().numpy(),
        "mean": mean,
        "variance": variance,
        "epsilon": np.float32(norm.eps),  # as files store it
    }


def _called(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None
