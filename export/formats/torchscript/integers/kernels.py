"""A network in integer arithmetic: the kernels of torch's quantised tensors, one for each place.

In: an int8 variant, traced, with a module at every place where it rounds
(`pipeline.compress.rounding_places`), and the grids of its weights. Out: the same graph on uint8
tensors, each operation computing what the variant rounds; between them, where there is no kernel,
floating point. The engine must be set before: it decides how a layer is packed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from export.errors import ConversionFailed
from pipeline.compress.rounding_places import (
    RELU6,
    Kernel,
    is_place,
    kernel_of,
    kind_of,
)

if TYPE_CHECKING:
    from pipeline.quantization_grid import Grid

QUANT_MAX: Final = 255
LEAST_RATIO: Final = 2.0**-14  # of a summand's scale to the sum's, in QNNPACK's kernel
MOST_RATIO: Final = 2.0**8
KEPT: Final = ("moved", "parted", "relu", "relu6")  # which take a uint8 tensor as any other


class IntegerLayer(nn.Module):
    """A convolution or linear layer on uint8, with the ReLU after it.

    Raises:
        ConversionFailed: its weight is not what the grid holds.
    """

    def __init__(self, layer: Any, grid: Grid, scale: float, zero_point: int, relu: bool) -> None:
        super().__init__()
        if not np.array_equal(grid.weights(), layer.weight.detach().numpy()):
            raise ConversionFailed("its weight is not codes times scale of its grid")
        zeros = torch.zeros(len(grid.scale), dtype=torch.int64)
        codes, scales = torch.from_numpy(grid.codes), torch.from_numpy(grid.scale).double()
        weight = torch._make_per_channel_quantized_tensor(codes, scales, zeros, 0)
        bias = None if layer.bias is None else layer.bias.detach()
        self.scale, self.zero_point, self.relu = scale, zero_point, relu
        self.is_convolution = isinstance(layer, nn.Conv2d)
        if self.is_convolution:
            shape = list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups
            self.packed = torch.ops.quantized.conv2d_prepack(weight, bias, *shape)
        else:
            self.packed = torch.ops.quantized.linear_prepack(weight, bias)

    def forward(self, codes: Tensor) -> Tensor:
        """uint8 (N, I, H, W) or (..., I) -> uint8."""
        quantized = torch.ops.quantized
        if self.is_convolution:
            run = quantized.conv2d_relu if self.relu else quantized.conv2d
        else:
            run = quantized.linear_relu if self.relu else quantized.linear
        made: Tensor = run(codes, self.packed, self.scale, self.zero_point)
        return made


def in_integers(variant: fx.GraphModule, grids: Mapping[str, Grid]) -> fx.GraphModule:
    """The variant on integer kernels; `grids` by weight name. Raises ConversionFailed."""
    graph = fx.Graph()
    root: dict[str, Any] = dict(variant.named_modules(remove_duplicate=False))
    made: dict[fx.Node, fx.Node] = {}  # what stands for a node's result
    coded: set[fx.Node] = set()  # nodes of the variant that stand for a uint8 tensor
    within = _within(variant)

    def plain(node: fx.Node) -> fx.Node:
        """In floating point."""
        return graph.call_method("dequantize", (made[node],)) if node in coded else made[node]

    for node in variant.graph.nodes:
        if node in within:
            continue
        if not is_place(node):
            keeps = kind_of(node) in KEPT and node.args[0] in coded
            made[node] = graph.node_copy(node, made.__getitem__ if keeps else plain)
            if keeps:
                coded.add(node)
            continue
        place, kernel, (before,) = root[str(node.target)], kernel_of(node), node.all_input_nodes
        scale, zero_point = float(place.scale), int(place.zero_point)
        coded.add(node)
        if kernel is not None and kernel.kind == "layer":
            name = str(kernel.node.target)
            relu = bool(kernel.activation)
            codes, layer, grid = made[kernel.operands[0]], root[name], grids.get(f"{name}.weight")
            if isinstance(layer, nn.Sequential):  # of `plain_padding`
                around: Any = layer[0].padding
                codes = graph.call_function(functional.pad, (codes, around))
                layer, grid = layer[1], grids[f"{name}.1.weight"]
            assert grid is not None
            try:
                root[name] = IntegerLayer(layer, grid, scale, zero_point, relu)
            except ConversionFailed as error:
                raise ConversionFailed(f"{name}: {error}") from error
            made[node] = graph.call_module(name, (codes,))
            made[node] = _cut(graph, made[node], kernel, scale, zero_point)
        elif kernel is not None:
            operands = [made[operand] for operand in kernel.operands]
            scales = [float(root[str(operand.target)].scale) for operand in kernel.operands]
            if kernel.kind == "add" and not all(map(_is_in_range, scales, [scale] * 2)):
                total = graph.call_function(torch.add, tuple(map(plain, kernel.operands)))
                low = 0.0 if kernel.activation else -torch.inf
                cut = graph.call_function(torch.clamp, (total, low))
                args = cut, scale, zero_point, torch.quint8
                made[node] = graph.call_function(torch.quantize_per_tensor, args)
            else:
                made[node] = _computed(graph, kernel, operands, scale, zero_point)
            made[node] = _cut(graph, made[node], kernel, scale, zero_point)
        elif before in coded:  # moved, or cut by a ReLU, on the same scale
            made[node] = made[before]
        else:
            args = made[before], scale, zero_point, torch.quint8
            made[node] = graph.call_function(torch.quantize_per_tensor, args)
    home = nn.Module()
    for child in {str(n.target) for n in graph.nodes if n.op in ("call_module", "get_attr")}:
        _put(home, child, root[child] if child in root else _tensor(variant, child))
    return fx.GraphModule(home, graph).eval()


def _within(variant: fx.GraphModule) -> set[fx.Node]:
    """The nodes that a kernel computes, up to the place where it rounds."""
    inside: set[fx.Node] = set()
    for place in filter(is_place, variant.graph.nodes):
        kernel = kernel_of(place)
        if kernel is not None:
            inside |= {kernel.node, place.all_input_nodes[0]}
    return inside


def _is_in_range(scale: float, of_sum: float) -> bool:
    """Whether QNNPACK can add a number on a scale to a sum on another."""
    return LEAST_RATIO <= scale / of_sum < MOST_RATIO


def _computed(
    graph: fx.Graph, kernel: Kernel, operands: list[fx.Node], scale: float, zero_point: int
) -> fx.Node:
    if kernel.kind == "cat":
        dim = kernel.node.kwargs.get("dim", [*kernel.node.args, 0][1])
        return graph.call_function(torch.cat, (operands, dim))
    relu = "_relu" if kernel.activation else ""
    run = getattr(torch.ops.quantized, kernel.kind + relu)
    return graph.call_function(run, (*operands, scale, zero_point))


def _cut(
    graph: fx.Graph, result: fx.Node, kernel: Kernel, scale: float, zero_point: int
) -> fx.Node:
    """Cut at 6 what the largest code does not."""
    if kernel.activation != "relu6" or (QUANT_MAX - zero_point) * scale < RELU6 * (1 + 1e-6):
        return result
    return graph.call_function(torch.clamp, (result, 0.0, RELU6))


def _put(home: nn.Module, name: str, held: Any) -> None:
    *folders, last = name.split(".")
    for folder in folders:
        if not hasattr(home, folder):
            home.add_module(folder, nn.Module())
        home = getattr(home, folder)
    if isinstance(held, Tensor) and not isinstance(held, nn.Parameter):
        home.register_buffer(last, held)
    else:
        setattr(home, last, held)


def _tensor(variant: nn.Module, name: str) -> Any:
    owner, _, last = name.rpartition(".")
    return getattr(variant.get_submodule(owner), last)
