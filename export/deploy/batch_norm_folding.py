"""Batch norms are folded once, before any converter sees the network.

In: a deploy graph. Out: that of the folded network (`pipeline.models.batch_norm_folding` says how),
and what formats do with a batch norm that stays.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from export.deploy.layers import Layer
from pipeline.models.batch_norm_folding import folded_network as folded_network
from pipeline.models.batch_norm_folding import has_norms as has_norms
from pipeline.models.batch_norm_folding import norm_scale_and_shift as norm_scale_and_shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph


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
            convolution.weight.copy_(scale.reshape(-1, 1, 1, 1))
            convolution.bias.copy_(shift)
        parent, _, child = name.rpartition(".")
        setattr(made.get_submodule(parent), child, convolution)
    return made


def as_scale(layer: Layer) -> Layer:
    """A layer of kind ``batch_norm`` as one of kind ``scale``."""
    weight, bias = scale_and_shift(layer.tensors)
    return Layer("scale", layer.name, {"weight": weight, "bias": bias})


def scale_and_shift(norm: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale and shift of a batch norm, float32 (C,) each, from its tensors in a `Layer`."""
    scale, shift = _exact(norm)
    return scale.astype(np.float32), shift.astype(np.float32)


def _exact(norm: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gamma, beta, mean, variance, epsilon = (
        np.asarray(norm[key], np.float64)
        for key in ("weight", "bias", "mean", "variance", "epsilon")
    )
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale
