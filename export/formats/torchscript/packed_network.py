"""A network whose weights are packed in the file and unpacked in memory.

In: the deploy graph. Out: a scripted module that saves packed weights, and that turns them into
XNNPACK's prepacked layers when it is loaded: small on disk and as fast as an fp32 file, because
nothing remains to unpack per image.
"""

from __future__ import annotations

import operator
import warnings
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import fx, nn
from torch._ops import OpOverload
from torch.nn import functional

from export.errors import ConversionFailed
from export.formats.torchscript.bit_packing import Packed, PackedLayer, join, pack_layer, table_of
from export.formats.torchscript.unpack_at_load import PackedLayers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from export.deploy.graph import DeployGraph
    from pipeline.quantization_grid import Grid

NETWORK: Final = "pixels.network."
MEAN: Final = "pixels.mean"
STD: Final = "pixels.std"
LAYERS: Final = "layers"
NO_CLAMP: Final = -1
RELU6: Final = (0.0, 6.0)
RELUS: Final = (functional.relu, torch.relu, "relu")


def packed_network(graph: DeployGraph, half: bool) -> Any:
    """The graph as a scripted module with packed weights.

    Args:
        graph: without batch norms (`export.deploy.batch_norm_folding`).
        half: weights as half floats; otherwise as the codes of the graph's grids.

    Raises:
        ConversionFailed: a layer cannot be packed, or a weight is on no grid.
    """
    traced = _Tracer().trace(graph)
    rows: list[PackedLayer] = []
    parts: list[Packed] = []
    for node in list(traced.nodes):
        node.type = None  # fx would write it into the code under a name unknown to TorchScript
        if node.target is functional.dropout:
            node.replace_all_uses_with(node.args[0])
            traced.erase_node(node)
        elif node.op == "call_module":
            name = str(node.target)
            layer = graph.get_submodule(name)
            try:
                grid = None if half else _grid(graph.grids, name, layer)
                normalises = _take_normalisation(node, layer)
                levels = 0 if grid is None else grid.levels
                row = _row(layer, levels, _clamp_after(node), normalises)
                parts.append(pack_layer(_array(layer.weight), _array(layer.bias), grid))
            except ConversionFailed as error:
                raise ConversionFailed(f"{name}: {error}") from error
            _run_packed(node, row, number=sum(r.is_conv == row.is_conv for r in rows))
            rows.append(row)
    traced.eliminate_dead_code()
    return _script(graph, traced, join(parts), rows)


class _Tracer(fx.Tracer):
    """Traces into all modules except those with a weight to pack."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.Linear)


def _grid(grids: Mapping[str, Grid], name: str, layer: nn.Module) -> Grid | None:
    """The grid of a layer's weight; None of one that half floats hold, as a norm's scale."""
    weight = f"{name.removeprefix(NETWORK)}.weight"
    if weight in grids:
        return grids[weight]
    values = layer.get_parameter("weight")
    if not torch.equal(values.half().float(), values):
        raise ConversionFailed("its weight lies on no grid")
    return None


def _row(layer: nn.Module, levels: int, clamp: int, normalises: bool) -> PackedLayer:
    if isinstance(layer, nn.Linear):
        return PackedLayer(levels, layer.out_features, layer.in_features, clamp=clamp)
    assert isinstance(layer, nn.Conv2d)
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ConversionFailed(f"{layer} cannot be prepacked: give its padding in numbers, zeros")
    outputs, inputs, height, width = layer.weight.shape
    (stride_y, stride_x), (padding_y, padding_x) = layer.stride, layer.padding
    return PackedLayer(
        levels,
        outputs,
        inputs,
        height,
        width,
        stride_y=stride_y,
        stride_x=stride_x,
        padding_y=padding_y,
        padding_x=padding_x,
        dilation_y=layer.dilation[0],
        dilation_x=layer.dilation[1],
        groups=layer.groups,
        clamp=clamp,
        normalises=int(normalises),
    )


def _array(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().numpy()


def _take_normalisation(node: fx.Node, layer: nn.Module) -> bool:
    """Whether a convolution can normalise its input pixels itself; it then takes raw pixels.

    Padding prevents it: the zeros around an image are zeros after the normalisation.
    """
    if not isinstance(layer, nn.Conv2d) or layer.padding != (0, 0) or layer.groups != 1:
        return False
    quotient = node.args[0]
    for operation, operand in ((operator.truediv, STD), (operator.sub, MEAN)):
        if not isinstance(quotient, fx.Node) or quotient.target is not operation:
            return False
        if getattr(quotient.args[1], "target", None) != operand:
            return False
        quotient = quotient.args[0]
    node.args = (quotient,)
    return True


def _clamp_after(node: fx.Node) -> int:
    """A layer's `PackedLayer.clamp`; a ReLU that alone takes its output leaves the graph."""
    users = list(node.users)
    clamp = _clamp(users[0]) if len(users) == 1 else NO_CLAMP
    if clamp != NO_CLAMP:
        users[0].replace_all_uses_with(node)
        node.graph.erase_node(users[0])
    return clamp


def _clamp(node: fx.Node) -> int:
    if node.op in ("call_function", "call_method"):
        if node.target in RELUS:
            return 0
        bounds = (node.kwargs.get("min_val"), node.kwargs.get("max_val"))
        if node.target is functional.hardtanh and bounds == RELU6:
            return 6
    return NO_CLAMP


def _run_packed(node: fx.Node, row: PackedLayer, number: int) -> None:
    """Replace the call of a layer by a call of its prepacked form."""
    held, run = (
        ("convolutions", torch.ops.prepacked.conv2d_clamp_run)
        if row.is_conv
        else ("linears", torch.ops.prepacked.linear_clamp_run)
    )
    graph = node.graph
    with graph.inserting_before(node):
        layers = graph.get_attr(f"{LAYERS}.{held}")
        layer = graph.call_function(operator.getitem, (layers, number))
        result = graph.call_function(run, (node.args[0], layer))
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _script(graph: DeployGraph, traced: fx.Graph, packed: Packed, rows: list[PackedLayer]) -> Any:
    words, scales, halves = (torch.from_numpy(array) for array in packed)
    layers = PackedLayers(
        words,
        scales.to(torch.bfloat16),
        halves,
        graph.pixels.mean,
        graph.pixels.std,
        table_of(rows),
    )
    for node in traced.nodes:
        if isinstance(node.target, OpOverload):  # which torch.jit finds again by its arguments
            node.target = node.target.overloadpacket
    root = nn.Module()
    root.add_module("pixels", graph.pixels)
    root.add_module(LAYERS, layers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about empty lists; the class has their type
        made = fx.GraphModule(root, traced)
        made.add_module(LAYERS, layers)  # whole; fx kept only what the code names
        made._code, made._lineno_map = "", None  # 8 KB of fx's own notes would go into the file
        return torch.jit.script(made)
