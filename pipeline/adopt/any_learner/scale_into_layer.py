"""A constant for each channel, times or plus what a layer gives, becomes part of the layer.

In: a program. Out: the same function with fewer operations: s (W x + b) + t is W' x + b' with
W' = s W, b' = s b + t, computed in float64. Converters fold it too, each in its own way; a file's
weights can then be compared with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch
from torch import fx, nn

from pipeline.adopt.any_learner.own_tensors import bias_of, own_tensors
from pipeline.program.operations import COMMUTATIVE, operation_of
from pipeline.program.program import Program, runnable, shapes, tensor_nodes

if TYPE_CHECKING:
    from torch import Tensor

SCALES: Final = ("mul.Tensor", "div.Tensor")
SHIFTS: Final = ("add.Tensor", "sub.Tensor")
LAYERS: Final = {"conv2d": 4, "linear": 2}  # with the rank of what they give


def scales_into_layers(program: Program) -> Program:
    """A copy with each such constant folded into the layer whose result it alone reads."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.network.graph, {}))
    tensors = program.network.state_dict(keep_vars=True)
    sources = dict(program.sources)
    shape = {node.name: found for node, found in shapes(program).items()}
    for node in list(graph.nodes):
        operation = str(operation_of(node))
        if operation not in (*SCALES, *SHIFTS):
            continue
        layer, other = node.args[0], node.args[1]
        if operation in COMMUTATIVE and _is_tensor(layer):
            layer, other = other, layer
        value = _per_channel(other, tensors, shape[node.name])
        if value is None or not _takes(layer, shape):
            continue
        assert isinstance(layer, fx.Node)
        weight, bias = str(layer.all_input_nodes[1].target), bias_of(graph, layer)
        kernel = tensors[weight].detach().double()
        shift = tensors[bias].detach().double() if bias in tensors else torch.zeros(len(kernel))
        if operation in SCALES:
            factor = (value if operation == "mul.Tensor" else 1 / value).expand(len(kernel))
            kernel = kernel * factor.reshape(-1, *[1] * (kernel.dim() - 1))
            shift = shift * factor
        else:
            shift = shift + (value if operation == "add.Tensor" else -value)
        of_value = sources[str(other.target)] if isinstance(other, fx.Node) else ()
        tensors[weight], tensors[bias] = (nn.Parameter(v.float()) for v in (kernel, shift))
        if operation in SCALES:
            sources[weight] = (*sources[weight], *of_value)
        sources[bias] = (*sources.get(bias, ()), *of_value)
        node.replace_all_uses_with(layer)
        graph.erase_node(node)
    graph.eliminate_dead_code()
    used = [str(node.target) for node in tensor_nodes(graph)]
    return replace(
        program,
        network=runnable(graph, {name: tensors[name] for name in used}),
        sources={name: sources[name] for name in used},
    )


def _is_tensor(value: object) -> bool:
    return isinstance(value, fx.Node) and value.op == "get_attr"


def _takes(layer: object, shape: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether it is a layer that nothing else reads, with tensors of its own."""
    if not isinstance(layer, fx.Node) or len(layer.users) > 1:
        return False
    operation = str(operation_of(layer))
    fits = operation in LAYERS and len(shape[layer.name]) == LAYERS[operation]
    return fits and own_tensors(layer)


def _per_channel(
    value: object, tensors: Mapping[str, Tensor], result: tuple[int, ...]
) -> Tensor | None:
    """A number, or one for each channel, float64 (1,) or (C,); None of anything else."""
    if isinstance(value, int | float):
        return torch.tensor([value], dtype=torch.float64)
    if not isinstance(value, fx.Node) or not _is_tensor(value):
        return None
    found = tensors[str(value.target)].detach()
    along = [1] * (len(result) - found.dim()) + list(found.shape)
    if len(along) != len(result) or any(n != 1 for i, n in enumerate(along) if i != 1):
        return None
    return found.double().reshape(-1)
