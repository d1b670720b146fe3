"""The deploy graph with its pixels normalised row by row: the same numbers, sooner.

Taken three channels at a time, which is how channels-last lays them out, subtraction and division
are a tenth of the network's time; taken as rows of W x 3 numbers they fill whole vectors and are a
thirtieth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from export.deploy.graph import Outputs, PixelGraph, to_outputs

if TYPE_CHECKING:
    from export.deploy.graph import DeployGraph


class RowGraph(nn.Module):
    """What `DeployGraph` computes, for one width."""

    # A file stores this name of its class: published bytes do not depend on where the class stands.
    __module__ = "export.formats.lite_rows"

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, graph: DeployGraph, side: int) -> None:
        super().__init__()
        self.network = network
        self.side = side
        self.register_buffer("mean", graph.pixels.mean.flatten().repeat(side))  # (W * 3,)
        self.register_buffer("std", graph.pixels.std.flatten().repeat(side))

    def forward(self, image: Tensor) -> Outputs:
        """uint8 (N, H, W, 3) -> probs, or probs and evidence."""
        rows = image.flatten(2).to(torch.float32) - self.mean  # (N, H, W * 3)
        rows = rows.div_(self.std)
        pixels = rows.reshape(-1, self.side, self.side, 3).permute(0, 3, 1, 2)
        return to_outputs(self.network(pixels))


def in_rows(graph: DeployGraph, side: int) -> nn.Module:
    """The graph in rows; one whose pixels go another way than `PixelGraph`'s is taken as it is."""
    if type(graph.pixels) is not PixelGraph:
        return graph
    return RowGraph(graph.pixels.network, graph, side).eval()
