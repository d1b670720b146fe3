"""One dense layer behind the mean over all places becomes a 1x1 convolution before it.

In: a program. Out: the same function, since the two commute (Zhou et al., arXiv:1512.04150), with
the classes' share of every place on its way: a map of evidence
(`pipeline.models.program_network.with_places`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from torch import fx, nn

from pipeline.program.operations import OPERATIONS, arguments_of, bound, call, operation_of
from pipeline.program.program import Program, runnable, shapes

PLACES: Final = [2, 3]  # axes h and w


def classes_before_pool(program: Program) -> Program:
    """The program with its classes decided at every place; itself if its head is another."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.network.graph, {}))
    dense = graph.output_node().args[0]
    assert isinstance(dense, fx.Node)
    pool = _pool_before(dense, {n.name: shape for n, shape in shapes(program).items()})
    if pool is None:
        return program
    tensors = program.network.state_dict(keep_vars=True)
    weight, bias = arguments_of(dense)["weight"], arguments_of(dense)["bias"]
    assert isinstance(weight, fx.Node)
    name = str(weight.target)
    tensors[name] = nn.Parameter(tensors[name].detach()[:, :, None, None].clone())
    with graph.inserting_before(dense):
        at_places = _called(graph, "conv2d", dense, pool.all_input_nodes[0], weight, bias)
        mean = _called(graph, "mean.dim", dense, at_places, PLACES, False)
    dense.replace_all_uses_with(mean)
    graph.erase_node(dense)
    graph.eliminate_dead_code()
    return replace(program, network=runnable(graph, tensors))


def _called(graph: fx.Graph, operation: str, like: fx.Node, *given: Any) -> fx.Node:
    by_place, by_name = call(operation, bound(operation, given, {}))
    name = f"{like.name}_{operation.partition('.')[0]}"
    node = graph.create_node("call_function", OPERATIONS[operation], by_place, by_name, name=name)
    node.meta = dict(like.meta)
    return node


def _pool_before(dense: fx.Node, shape: Mapping[str, tuple[int, ...]]) -> fx.Node | None:
    """The mean over all places that a dense layer of its own weight reads; None without one."""
    if operation_of(dense) != "linear" or dense.args[1] not in dense.all_input_nodes:
        return None
    node, *held = dense.all_input_nodes
    if any(h.op != "get_attr" or len(h.users) > 1 for h in held) or len(shape[dense.name]) != 2:
        return None
    if operation_of(node) == "reshape":
        if shape[node.name] != shape[node.all_input_nodes[0].name][:2]:
            return None
        node = node.all_input_nodes[0]
    is_pool = operation_of(node) == "mean.dim" and arguments_of(node)["dim"] == PLACES
    return node if is_pool and len(shape[node.all_input_nodes[0].name]) == len("NCHW") else None
