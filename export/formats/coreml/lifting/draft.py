"""A program's copy, to be rewritten node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, fx

from pipeline.program.operations import OPERATIONS, bound, call
from pipeline.program.program import Program, runnable, tensor_nodes

if TYPE_CHECKING:
    from pipeline.program.operations import Value


class Draft:
    """A program's graph and tensors; what is changed here does not change the program."""

    def __init__(self, program: Program) -> None:
        self.before = program
        self.graph = fx.Graph()
        self.graph.output(self.graph.graph_copy(program.network.graph, {}))
        self.tensors = dict(program.network.state_dict(keep_vars=True))
        self.sources = dict(program.sources)

    def hold(self, node: fx.Node, ending: str, tensor: Tensor) -> fx.Node:
        """A tensor made of that of a node, under a name of its own."""
        before = str(node.target)
        name = f"{before}_{ending}"
        self.tensors[name], self.sources[name] = tensor, self.sources[before]
        with self.graph.inserting_before(node):
            return self.graph.create_node("get_attr", name, name=name.replace(".", "_"))

    def reshape(self, node: fx.Node, tensor: Tensor) -> fx.Node:
        """The same numbers in another shape; under the same name, if nothing else takes it."""
        if len(node.users) > 1:
            return self.hold(node, "reshaped", tensor)
        self.tensors[str(node.target)] = tensor
        return node

    def write(self, node: fx.Node, operation: str, *args: Value) -> None:
        """Another operation in a node's place, of the same module and name."""
        by_place, by_name = call(operation, bound(operation, args, {}))
        node.target = OPERATIONS[operation]
        node.args, node.kwargs = by_place, by_name

    def program(self) -> Program:
        """The program that is written now. Its `sources` keep tensors that became numbers."""
        self.graph.eliminate_dead_code()
        names = [str(node.target) for node in tensor_nodes(self.graph)]
        return Program(
            runnable(self.graph, {name: self.tensors[name] for name in names}),
            self.before.side,
            self.sources,
            self.before.unused,
        )
