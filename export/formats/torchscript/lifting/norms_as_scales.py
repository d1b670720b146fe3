"""Batch norms as this format writes them: depthwise 1x1 convolutions.

In: a program with batch norms folded where they can be. Out: the same with those that stay, before
a ReLU and a convolution, as a scale and a shift of each channel, each rounded once: what
`export.deploy.batch_norm_folding.norms_as_convolutions` makes of the network, because XNNPACK runs
such a convolution and the ReLU after it in one pass. What is expected of a file is written so too.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from pipeline.program.batch_norm_folding import scale_and_shift
from pipeline.program.operations import OPERATIONS, arguments_of, bound, call, operation_of
from pipeline.program.program import MODULE, Program, place_of, runnable, shapes, tensor_nodes

if TYPE_CHECKING:
    from torch import Tensor


def norms_as_scales(program: Program) -> Program:
    """The program with each batch norm of a map as a depthwise convolution."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(program.network.graph, copies))
    tensors = copy.copy(program.network.state_dict(keep_vars=True))
    sources = dict(program.sources)
    ranks = {node: len(shape) for node, shape in shapes(program).items()}
    for node in program.operations():
        if operation_of(node) != "batch_norm" or ranks[node] != 4:
            continue
        held = [str(n.target) for n in node.all_input_nodes[1:]]
        of_norm = tuple(source for name in held for source in sources.get(name, ()))
        scale, shift = (torch.from_numpy(values) for values in scale_and_shift(program, node))
        norm = copies[node]
        made = {"weight": scale.reshape(-1, 1, 1, 1), "bias": shift}
        with graph.inserting_before(norm):
            layer = _convolution(graph, norm, made, tensors)
        sources |= dict.fromkeys((str(n.target) for n in layer.all_input_nodes[1:]), of_norm)
        norm.replace_all_uses_with(layer)
        graph.erase_node(norm)
    graph.eliminate_dead_code()
    used = [str(node.target) for node in tensor_nodes(graph)]
    return Program(
        runnable(graph, {name: tensors[name] for name in used}),
        program.side,
        {name: sources[name] for name in used},
        program.unused,
    )


def _convolution(
    graph: fx.Graph, norm: fx.Node, made: dict[str, Tensor], tensors: dict[str, Tensor]
) -> fx.Node:
    x = arguments_of(norm)["input"]
    nodes = []
    for key, values in made.items():
        name = f"{place_of(norm)}.as_scale.{key}"
        tensors[name] = nn.Parameter(values)
        nodes.append(graph.create_node("get_attr", name, name=name.replace(".", "_")))
    channels = len(made["bias"])
    arguments = bound("conv2d", (x, *nodes), {"groups": channels})
    by_place, by_name = call("conv2d", arguments)
    layer = graph.create_node(
        "call_function", OPERATIONS["conv2d"], by_place, by_name, name=norm.name
    )
    layer.meta[MODULE] = norm.meta.get(MODULE, "")
    return layer
