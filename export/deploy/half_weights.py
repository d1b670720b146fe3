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

from export.deploy.batch_norm_folding import folded_network, with_network
from pipeline.models.batch_norm_folding import halved, halved_norm

if TYPE_CHECKING:
    from export.deploy.graph import DeployGraph


def halved_graph(graph: DeployGraph) -> DeployGraph:
    """The deploy graph with batch norms folded and weights rounded to fp16; the input stays."""
    network = copy.deepcopy(folded_network(graph.pixels.network)).eval()
    with torch.no_grad():
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                network.set_submodule(name, halved_norm(module))
        for parameter in network.parameters():  # of any layer, and of none: a layer's scale
            parameter.copy_(halved(parameter))
    return with_network(graph, network)
