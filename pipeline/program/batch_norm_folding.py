"""Batch norms folded into the layer before them: the same function with fewer operations.

In: a program. Out: another, in which a batch norm after a convolution or linear layer is part of
it: w' = w s, b' = (b - mean) s + beta, with s = gamma / sqrt(var + eps). One whose layer has
another reader, or whose weight another layer has too, cannot be folded and stays; so does one
before a ReLU and a convolution (DenseNet's, He et al., arXiv:1603.05027). An activation inside
timm's batch norms is an operation of its own here, and stays.

Every product is computed in float64 and rounded once, by operations that IEEE 754 rounds correctly;
so two machines fold to the same bits, and a file's weights can be compared with these exactly.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx, nn

from pipeline.program.operations import arguments_of, operation_of
from pipeline.program.program import Program, runnable, tensor_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Exact: TypeAlias = NDArray[np.float64]

PER_CHANNEL: Final = ("weight", "bias", "running_mean", "running_var")


def folded(program: Program) -> Program:
    """A copy of the program with each batch norm folded that can be."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.network.graph, {}))
    tensors = copy.deepcopy(program.network.state_dict(keep_vars=True))
    sources = dict(program.sources)
    norms = [node for node in graph.nodes if operation_of(node) == "batch_norm"]
    lengths = program.lengths if norms else {}
    for norm in norms:
        layer = arguments_of(norm)["input"]
        assert isinstance(layer, fx.Node)
        if _folds(layer, len(lengths[layer.name])) and all(
            map(_is_tensor, norm.all_input_nodes[1:])
        ):
            _fold(graph, layer, norm, tensors, sources)
    graph.eliminate_dead_code()
    used = [str(node.target) for node in tensor_nodes(graph)]
    return Program(
        runnable(graph, {name: tensors[name] for name in used}),
        program.side,
        {name: sources[name] for name in used},
        program.unused,
    )


def scale_and_shift(
    program: Program, norm: fx.Node
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A batch norm as a factor and a summand, float32 (C,) each."""
    scale, shift = _exact(norm, program.tensors())
    return scale.astype(np.float32), shift.astype(np.float32)


def _folds(layer: fx.Node, rank: int) -> bool:
    """Whether the layer's channels are a batch norm's, and nothing else reads it or its tensors."""
    operation = operation_of(layer)
    if operation != "conv2d" and (operation, rank) != ("linear", 2):
        return False
    tensors = layer.all_input_nodes[1:]
    alone = all(_is_tensor(node) and len(node.users) == 1 for node in tensors)
    return alone and len(layer.users) == 1


def _is_tensor(node: fx.Node) -> bool:
    return node.op == "get_attr"


def _fold(
    graph: fx.Graph,
    layer: fx.Node,
    norm: fx.Node,
    tensors: dict[str, Tensor],
    sources: dict[str, tuple[str, ...]],
) -> None:
    scale, shift = _exact(norm, tensors)
    arguments = arguments_of(layer)
    weight, bias = arguments["weight"], arguments["bias"]
    assert isinstance(weight, fx.Node)
    name = str(weight.target)
    kernel = _numbers(tensors[name])
    tensors[name] = _like(tensors[name], kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1)))
    before: tuple[str, ...] = ()
    if isinstance(bias, fx.Node):
        bias_name, before = str(bias.target), sources[str(bias.target)]
        shift = shift + _numbers(tensors[bias_name]) * scale
    else:
        bias_name = _free(f"{name.rpartition('.')[0]}.bias".lstrip("."), tensors)
        with graph.inserting_before(layer):
            node = graph.create_node("get_attr", bias_name, name=bias_name.replace(".", "_"))
        layer.update_arg(2, node)
    tensors[bias_name] = _like(tensors[name], shift)
    of_norm = {key: sources[held] for key, held in _held(norm).items()}
    sources[name] += _together(of_norm, "weight", "running_var")
    sources[bias_name] = before + _together(of_norm, *PER_CHANNEL)
    norm.replace_all_uses_with(layer)
    graph.erase_node(norm)


def _together(of_norm: dict[str, tuple[str, ...]], *keys: str) -> tuple[str, ...]:
    return tuple(source for key in keys for source in of_norm.get(key, ()))


def _exact(norm: fx.Node, tensors: dict[str, Tensor]) -> tuple[Exact, Exact]:
    numbers = {key: _numbers(tensors[name]) for key, name in _held(norm).items()}
    mean, variance = numbers["running_mean"], numbers["running_var"]
    epsilon = arguments_of(norm)["eps"]
    assert isinstance(epsilon, float)
    epsilon = float(np.float32(epsilon))  # as files store it
    scale = numbers.get("weight", np.ones_like(mean)) / np.sqrt(variance + epsilon)
    return scale, numbers.get("bias", np.zeros_like(mean)) - mean * scale


def _held(norm: fx.Node) -> dict[str, str]:
    """The names of a batch norm's tensors; without those that it does not have."""
    arguments = arguments_of(norm)
    nodes = {key: arguments[key] for key in PER_CHANNEL}
    return {key: str(node.target) for key, node in nodes.items() if isinstance(node, fx.Node)}


def _numbers(tensor: Tensor) -> Exact:
    return tensor.detach().double().numpy()


def _like(before: Tensor, values: Exact) -> nn.Parameter:
    made = torch.from_numpy(values).to(before.dtype)
    return nn.Parameter(made, requires_grad=before.requires_grad)


def _free(name: str, taken: dict[str, Tensor]) -> str:
    while name in taken:
        name += "_folded"
    return name
