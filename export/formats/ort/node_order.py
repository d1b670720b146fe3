"""The nodes of an ORT file in the order in which a program would call them.

In: the graph of the file, which lists nodes as its optimiser left them. Out: the nodes in
`call_order`, also if the sum of a residual block was fused into a convolution; or in an order in
which they can run, where such a convolution comes after its summand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from export.deploy.call_order import call_order
from export.errors import Unreadable

SUMMAND: Final = {b"FusedConv": 3}  # operation -> the input that is added to what it computes


def in_call_order(graph: Any) -> list[Any]:
    """All nodes of a flatbuffer's graph.

    Raises:
        Unreadable: they depend on each other in a cycle.
    """
    nodes, made_by = _nodes(graph)
    before: list[list[int]] = []  # for each node, the nodes called before it
    summands: list[list[int]] = []  # those whose result it adds to its own
    for node in nodes:
        inputs = [node.Inputs(j) for j in range(node.InputsLength())]
        summand = SUMMAND.get(node.OpType(), len(inputs))
        before.append([made_by[name] for name in inputs[:summand] if name in made_by])
        summands.append([made_by[name] for name in inputs[summand:] if name in made_by])
    _runnable(dict(enumerate(map(list.__add__, before, summands))))
    results = [graph.Outputs(i) for i in range(graph.OutputsLength())]
    ends = [made_by[name] for name in results if name in made_by]
    return [nodes[i] for i in call_order([*ends, *range(len(nodes))], before, summands)]


def in_order(graph: Any) -> list[Any]:
    """All nodes, each after those whose results it takes. Raises Unreadable, as above."""
    nodes, made_by = _nodes(graph)
    takes = {
        i: [made_by[n] for j in range(node.InputsLength()) if (n := node.Inputs(j)) in made_by]
        for i, node in enumerate(nodes)
    }
    return [nodes[i] for i in _runnable(takes)]


def _nodes(graph: Any) -> tuple[list[Any], dict[bytes, int]]:
    """The nodes as they are listed, and the place of the one that makes each value."""
    nodes = [graph.Nodes(i) for i in range(graph.NodesLength())]
    return nodes, {n.Outputs(j): i for i, n in enumerate(nodes) for j in range(n.OutputsLength())}


def _runnable(takes: Mapping[int, Sequence[int]]) -> list[int]:
    try:
        return list(TopologicalSorter(takes).static_order())
    except CycleError as error:
        raise Unreadable("the nodes of the ORT file depend on each other in a cycle") from error
