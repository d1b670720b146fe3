"""Max pooling down first, then across: the same numbers, sooner.

In: the deploy graph. Out: one whose square pools are two steps: the maxima of whole rows, which
fill vectors, then a pool of one row. torch's own pool looks at each window alone and notes where
its maximum stood, for a gradient that nobody wants: a sixth of a small network's time. What is left
of the pool is run by XNNPACK on a phone, as the whole of it was.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.batch_norms import with_network
from export.graph import example_input

if TYPE_CHECKING:
    from export.graph import DeployGraph
    from pipeline.checkpoint import ModelSpec


class RowsThenColumns(nn.Module):
    """What `MaxPool2d` computes, for one height of its input and windows that fit into it."""

    def __init__(self, pool: nn.MaxPool2d, height: int) -> None:
        super().__init__()
        assert isinstance(pool.kernel_size, int)
        assert isinstance(pool.stride, int)
        self.window, self.stride = pool.kernel_size, pool.stride
        self.ceil_mode = pool.ceil_mode  # of the columns; rows have no part of a window left
        self.span = self.stride * ((height - self.window) // self.stride) + 1

    def forward(self, places: Tensor) -> Tensor:
        """float32 (N, C, H, W) -> float32 (N, C, h, w)."""
        rows = places[:, :, : self.span : self.stride]  # (N, C, h, W)
        for first in range(1, self.window):
            rows = torch.maximum(rows, places[:, :, first : first + self.span : self.stride])
        return functional.max_pool2d(
            rows, (1, self.window), (1, self.stride), ceil_mode=self.ceil_mode
        )


def with_split_pools(graph: DeployGraph, spec: ModelSpec) -> DeployGraph:
    """The graph with every pool split that can be; the graph itself if there is none.

    A pool that pads, or whose last window sticks out below, stays whole.
    """
    heights = _pooled_heights(graph, spec)
    network = copy.deepcopy(graph.pixels.network)
    for name, height in heights.items():
        pool = network.get_submodule(name)
        assert isinstance(pool, nn.MaxPool2d)
        if _can_be_split(pool, height):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, RowsThenColumns(pool, height))
    return with_network(graph, network) if heights else graph


def _pooled_heights(graph: DeployGraph, spec: ModelSpec) -> dict[str, int]:
    """Name of each max pool -> height of what it takes, at the spec's input size."""
    heights: dict[str, int] = {}
    hooks = []
    for name, module in graph.pixels.network.named_modules():
        if isinstance(module, nn.MaxPool2d):

            def note(_: Any, inputs: tuple[Tensor], name: str = name) -> None:
                heights[name] = inputs[0].shape[2]

            hooks.append(module.register_forward_pre_hook(note))
    if hooks:
        with torch.inference_mode():
            graph(example_input(spec))
    for hook in hooks:
        hook.remove()
    return heights


def _can_be_split(pool: nn.MaxPool2d, height: int) -> bool:
    if not isinstance(pool.kernel_size, int) or not isinstance(pool.stride, int):
        return False
    fits = (height - pool.kernel_size) % pool.stride == 0
    return pool.padding == 0 and pool.dilation == 1 and (fits or not pool.ceil_mode)
