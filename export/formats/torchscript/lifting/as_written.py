"""A program as this format writes it, which computes the same.

In: a program with batch norms folded where they can be. Out: the same in the form of a file: what
is expected of a file and what was found in it are both written so before they are compared.

- A batch norm that stays, before a ReLU and a convolution, is a depthwise 1x1 convolution: a scale
  and a shift of each channel, each rounded once. XNNPACK runs it and the ReLU after it in one pass
  (`export.deploy.batch_norm_folding.norms_as_convolutions`).
- A bias of zeros is none: packed arrays hold a bias for every layer (`bit_packing`).
- A max pool whose windows all lie inside, padding included, does not round up: one in two steps is
  known by its sizes alone (`separable_pooling`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import fx, nn

from pipeline.program.batch_norm_folding import scale_and_shift
from pipeline.program.operations import OPERATIONS, arguments_of, bound, call, operation_of
from pipeline.program.program import MODULE, Program, place_of, runnable, tensor_nodes

if TYPE_CHECKING:
    from torch import Tensor

MEAN: Final = "running_mean"
LAYERS: Final = ("conv2d", "linear")
BIAS: Final = 2  # its place among a layer's arguments
CEIL_MODE: Final = 5  # likewise, of a max pool
MAP: Final = 4  # axes of what a convolution takes


def as_written(program: Program) -> Program:
    """The program in the form of a file."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(program.network.graph, copies))
    tensors = dict(program.network.state_dict(keep_vars=True))
    sources = dict(program.sources)
    looked_at = {operation_of(node) for node in program.operations()} & {"max_pool2d", "batch_norm"}
    lengths = program.lengths if looked_at else {}
    for node in program.operations():
        if operation_of(node) == "max_pool2d" and _fits(node, lengths):
            copies[node].update_arg(CEIL_MODE, False)
        if operation_of(node) == "batch_norm" and len(lengths[node.name]) == MAP:
            scale, shift = map(torch.from_numpy, scale_and_shift(program, node))
            norm = copies[node]
            mean = arguments_of(norm)[MEAN]
            of = str(mean.target).removesuffix(MEAN) if isinstance(mean, fx.Node) else ""
            kernel = {f"{of}scale": scale.reshape(-1, 1, 1, 1), f"{of}shift": shift}
            layer = _convolution(graph, norm, kernel, tensors)
            made_of = _sources(sources, *norm.all_input_nodes[1:])
            sources |= dict.fromkeys((str(n.target) for n in layer.all_input_nodes[1:]), made_of)
            norm.replace_all_uses_with(layer)
            graph.erase_node(norm)
    for node in graph.nodes:
        if operation_of(node) in LAYERS:
            _without_zeros(node, tensors, sources)
    graph.eliminate_dead_code()
    used = [str(node.target) for node in tensor_nodes(graph)]
    return Program(
        runnable(graph, {name: tensors[name] for name in used}),
        program.side,
        {name: sources[name] for name in used},
        program.unused,
    )


def _sources(sources: Mapping[str, tuple[str, ...]], *nodes: fx.Node) -> tuple[str, ...]:
    return tuple(source for node in nodes for source in sources.get(str(node.target), ()))


def _fits(pool: fx.Node, lengths: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether rounding down gives a pool as many places as it has."""
    given: dict[str, Any] = arguments_of(pool)
    (x,) = pool.all_input_nodes
    keys = ("kernel_size", "stride", "padding", "dilation")
    return all(
        (length + 2 * around - apart * (window - 1) - 1) // step + 1 == places
        for length, window, step, around, apart, places in zip(
            lengths[x.name][2:], *(given[key] for key in keys), lengths[pool.name][2:], strict=True
        )
    )


def _convolution(
    graph: fx.Graph, norm: fx.Node, kernel: Mapping[str, Tensor], tensors: dict[str, Tensor]
) -> fx.Node:
    """The depthwise convolution that computes what a batch norm does."""
    made: list[fx.Node] = []
    with graph.inserting_before(norm):
        for name, values in kernel.items():
            tensors[name] = nn.Parameter(values, requires_grad=False)
            made.append(graph.create_node("get_attr", name, name=name.replace(".", "_")))
        given = (arguments_of(norm)["input"], *made)
        (_, shift) = kernel.values()
        by_place, by_name = call("conv2d", bound("conv2d", given, {"groups": len(shift)}))
        layer = graph.call_function(OPERATIONS["conv2d"], by_place, by_name)
    layer.meta[MODULE] = place_of(norm)
    return layer


def _without_zeros(
    layer: fx.Node, tensors: Mapping[str, Tensor], sources: dict[str, tuple[str, ...]]
) -> None:
    """Take a bias of zeros from a layer; it counts as looked at where its weight is."""
    weight, bias = (arguments_of(layer)[key] for key in ("weight", "bias"))
    held = (isinstance(node, fx.Node) and node.op == "get_attr" for node in (weight, bias))
    if not all(held) or not isinstance(weight, fx.Node) or not isinstance(bias, fx.Node):
        return
    if not tensors[str(bias.target)].any():
        layer.update_arg(BIAS, None)
        sources[str(weight.target)] = _sources(sources, weight, bias)
