"""The program that a file of a deploy graph must be: what the graph computes, batch norms folded.

A capture takes seconds, and the variants of a checkpoint are mostly one network with other numbers.
So what was captured is kept without its numbers, for every graph of the same modules; another
process of this program can be given it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import fx

from pipeline.compress.activation_quantization import with_own_roundings
from pipeline.program.batch_norm_folding import folded
from pipeline.program.capture import capture
from pipeline.program.program import Program, runnable, tensor_nodes
from pipeline.program.reading import program_of
from pipeline.program.writing import document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from export.deploy.graph import PixelGraph
    from pipeline.json_files import JsonObject

Code = tuple[str, ...]
Key = tuple[str, Code, tuple[int, int], tuple[tuple[str, tuple[int, ...]], ...]]
Captured = tuple["JsonObject", "Mapping[str, Tensor]"]


@dataclass
class Captures:
    """What was captured, by the modules of the graph, the code of those that are graphs themselves,
    the names and shapes of their state, and height and width: a program's document, and the tensors
    that are no part of the state.

    Attributes:
        known: of these graphs.
        kept: of the same checkpoint, by this process before.
    """

    known: dict[Key, Captured] = field(default_factory=dict)
    kept: dict[Key, Captured] = field(default_factory=dict)

    def of(self, graph: nn.Module, side: tuple[int, int]) -> Program:
        """The program of a graph with the graph's own numbers.

        Raises:
            BadInput: it cannot be captured.
        """
        state = graph.state_dict()
        code = tuple(m.code for m in graph.modules() if isinstance(m, fx.GraphModule))
        shapes = tuple((name, tuple(t.shape)) for name, t in state.items())
        key = (str(graph), code, side, shapes)
        if key in self.kept:
            self.known.setdefault(key, self.kept[key])
        if key not in self.known:
            program = capture(graph, side)
            constants = {n: t for n, t in program.tensors().items() if n not in state}
            self.known[key] = self.kept[key] = document(program), constants
            return program
        what, others = self.known[key]
        held = {**state, **others}
        tensors = {name: held[name] for name in what["tensors"]}
        return program_of(what, tensors, "a captured program")


def expected_program(graph: PixelGraph, side: tuple[int, int], captures: Captures) -> Program:
    """The program of a graph after its input cast.

    Raises:
        BadInput: it cannot be captured.
    """
    network = with_own_roundings(graph.network)
    if network is not graph.network:
        graph = copy.deepcopy(graph, {id(graph.network): network})
    return folded(captures.of(graph, side))


def with_outputs(program: Program, count: int) -> Program:
    """The program without its outputs after the first `count`."""
    if count >= len(program.outputs()):
        return program
    graph = type(program.network.graph)()
    copies: dict[object, object] = {}
    graph.graph_copy(program.network.graph, copies)  # type: ignore[arg-type]
    made = [copies[node] for node in program.outputs()[:count]]
    graph.output(made[0] if count == 1 else tuple(made))  # type: ignore[arg-type]
    graph.eliminate_dead_code()
    names = [str(node.target) for node in tensor_nodes(graph)]
    kept = program.network.state_dict(keep_vars=True)
    return Program(
        runnable(graph, {name: kept[name] for name in names}),
        program.side,
        {name: program.sources[name] for name in names},
        program.unused,
    )
