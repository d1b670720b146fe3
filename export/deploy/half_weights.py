"""The network that an fp16 file holds: every weight rounded to 11 significant bits.

In: a deploy graph. Out: the same graph whose layers hold numbers of fp16 alone, as fp32. Batch
norms are folded where they can be; of one that stays, scale and shift are rounded, so that every
format stores the same numbers, whether it has a batch norm or a convolution there.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from export.deploy.batch_norm_folding import folded_network, norm_scale_and_shift, with_network

if TYPE_CHECKING:
    from torch import Tensor

    from export.deploy.graph import DeployGraph


def halved_graph(graph: DeployGraph) -> DeployGraph:
    """The deploy graph with batch norms folded and weights rounded to fp16; the input stays."""
    network = copy.deepcopy(folded_network(graph.pixels.network)).eval()
    with torch.no_grad():
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                parent, _, child = name.rpartition(".")
                setattr(network.get_submodule(parent), child, _halved_norm(module))
        for parameter in network.parameters():  # of any layer, and of none: a layer's scale
            parameter.copy_(_halved(parameter))
    return with_network(graph, network)


def _halved_norm(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """A batch norm that multiplies by the rounded scale and adds the rounded shift, exactly."""
    scale, shift = norm_scale_and_shift(norm)
    made = nn.BatchNorm2d(len(scale), eps=0.0).eval()  # mean 0, variance 1
    made.weight.copy_(_halved(scale))
    made.bias.copy_(_halved(shift))
    return made


def _halved(values: Tensor) -> Tensor:
    return values.to(torch.float16).to(torch.float32)
