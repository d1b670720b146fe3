"""A layer of a program whose tensors are its own, and its bias, made where there is none."""

from __future__ import annotations

from torch import fx

from pipeline.program.operations import arguments_of


def own_tensors(layer: fx.Node) -> bool:
    """Whether all but its first input are tensors that no other operation reads."""
    return all(n.op == "get_attr" and len(n.users) == 1 for n in layer.all_input_nodes[1:])


def bias_of(graph: fx.Graph, layer: fx.Node) -> str:
    """The name of its bias; where it has none the graph names one, whose tensor is to be made."""
    arguments = arguments_of(layer)
    weight, bias = arguments["weight"], arguments["bias"]
    if isinstance(bias, fx.Node):
        return str(bias.target)
    assert isinstance(weight, fx.Node)
    name = f"{str(weight.target).rpartition('.')[0] or layer.name}.bias"
    with graph.inserting_before(layer):
        layer.update_arg(2, graph.create_node("get_attr", name, name=name.replace(".", "_")))
    return name
