"""A network in integer arithmetic: QNNPACK's kernels, as torch's FX quantisation places them.

In: the deploy graph of an int8 twin, whose rounding places and grids are already in it. Out: a
traced module. Between the first and the last layer all tensors are uint8.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from export.errors import ConversionFailed
from export.graph import example_input

if TYPE_CHECKING:
    from export.graph import DeployGraph
    from pipeline.checkpoint import ModelSpec

ENGINE: Final = "qnnpack"


def integer_network(graph: DeployGraph, spec: ModelSpec) -> Any:
    """The graph traced with integer kernels in the places of its rounded arithmetic.

    To be called, and what it gives to be saved, inside `qnnpack`.

    Raises:
        ConversionFailed: the graph is not of an int8 twin.
    """
    from torch.ao.quantization.backend_config import get_qnnpack_backend_config
    from torch.ao.quantization.quantize_fx import convert_fx

    if not isinstance(graph.pixels.network, torch.fx.GraphModule):
        raise ConversionFailed("int8 is made from an int8 twin (export.twins), not from this graph")
    integer = convert_fx(
        copy.deepcopy(graph.pixels.network), backend_config=get_qnnpack_backend_config()
    )
    integer_graph = _RowGraph(integer, graph, spec.side).eval()
    return torch.jit.trace(integer_graph, example_input(spec))  # type: ignore[no-untyped-call]


@contextmanager
def qnnpack() -> Iterator[None]:
    """Integer kernels of QNNPACK, in here: another engine packs layers in another layout.

    Raises:
        ConversionFailed: this torch has no QNNPACK.
    """
    before = torch.backends.quantized.engine
    if ENGINE not in torch.backends.quantized.supported_engines:
        raise ConversionFailed(f"torch {torch.__version__} is built without QNNPACK")
    torch.backends.quantized.engine = ENGINE
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


class _RowGraph(nn.Module):
    """The deploy graph with the pixels normalised row by row: the same numbers, sooner.

    Taken three channels at a time, subtraction and division are a tenth of an integer network's
    time; taken as rows of W x 3 numbers they fill whole vectors and are a thirtieth.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, graph: DeployGraph, side: int) -> None:
        super().__init__()
        self.network = network
        self.side = side
        self.register_buffer("mean", graph.pixels.mean.flatten().repeat(side))  # (W * 3,)
        self.register_buffer("std", graph.pixels.std.flatten().repeat(side))

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, K)."""
        rows = (image.flatten(2).to(torch.float32) - self.mean) / self.std  # (N, H, W * 3)
        pixels = rows.reshape(-1, self.side, self.side, 3).permute(0, 3, 1, 2)
        return torch.softmax(self.network(pixels), dim=1)
