"""A program as a network of plain torch modules: what every other network here is made of.

In: a program. Out: the same function, in which each convolution, dense layer, batch norm and max
pool is a module, and a clamp torch's function; the other operations stay as they are. Names of
tensors stay too, so that a state is one of the program. What looks for layers by their kind
(weights on grids, weights in files) finds them in any network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, fx, nn

from pipeline.program.operations import LENGTH, arguments_of, operation_of
from pipeline.program.program import MODULE, Program, shapes

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[fx.Graph, Mapping[str, Any]], fx.Node]

PLACES: Final = [2, 3]  # axes h and w


def program_network(program: Program) -> fx.GraphModule:
    """The program's network with its layers as modules, in evaluation mode."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.network.graph, {}))
    tensors = program.network.state_dict(keep_vars=True)
    ranks = {node.name: len(shape) for node, shape in shapes(program).items()}
    home = nn.Module()
    layers = {name: nodes for name, nodes in _by_layer(graph).items() if _is_one(nodes, name)}
    for name, nodes in layers.items():
        layer = _layer(nodes[0], tensors, ranks)
        if layer is not None:
            _put(home, name, layer)
            for node in nodes:
                _call(graph, node, name)
    for node in list(graph.nodes):
        operation = str(operation_of(node))
        if operation == "max_pool2d":
            _put(home, node.name, _max_pool(arguments_of(node)))
            _call(graph, node, node.name)
        elif operation in FUNCTIONS:
            _replace(graph, node, FUNCTIONS[operation])
    for node in [n for n in graph.nodes if n.op == "get_attr"]:
        if node.users:
            _put(home, str(node.target), tensors[str(node.target)])
        else:
            graph.erase_node(node)
    return fx.GraphModule(home, graph, class_name="Program").eval()


def with_places(network: fx.GraphModule) -> fx.GraphModule:
    """The network with its evidence as a second output, if its logits are the mean over places."""
    logits = network.graph.output_node().args[0]
    if not isinstance(logits, fx.Node) or operation_of(logits) != "mean.dim":
        return network
    arguments = arguments_of(logits)
    if arguments["dim"] != PLACES or arguments["keepdim"]:
        return network
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.graph_copy(network.graph, copies)
    graph.output((copies[logits], copies[logits.all_input_nodes[0]]))
    return fx.GraphModule(network, graph, class_name="Program").train(network.training)


def _by_layer(graph: fx.Graph) -> dict[str, list[fx.Node]]:
    """Name of a weighted layer -> its calls: the tensors of one are called by its name."""
    found: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if operation_of(node) in LAYERS:
            held = _held(node)
            owner, *others = {name.rpartition(".")[0] for name in held.values()} or {""}
            tells = all(name.rpartition(".")[2] == key for key, name in held.items())
            if owner and tells and not others:
                found.setdefault(owner, []).append(node)
    return found


def _is_one(nodes: Sequence[fx.Node], name: str) -> bool:
    """Whether all calls are of one layer, and nothing else reads its tensors."""
    settings = [{k: v for k, v in arguments_of(n).items() if k != "input"} for n in nodes]
    readers = {user for node in nodes for held in node.all_input_nodes[1:] for user in held.users}
    return all(one == settings[0] for one in settings) and readers == set(nodes)


def _held(node: fx.Node) -> dict[str, str]:
    """Argument -> the name of the tensor that it is."""
    nodes = {k: v for k, v in arguments_of(node).items() if isinstance(v, fx.Node)}
    return {key: str(v.target) for key, v in nodes.items() if v.op == "get_attr"}


def _layer(
    node: fx.Node, tensors: Mapping[str, Tensor], ranks: Mapping[str, int]
) -> nn.Module | None:
    """The layer of a call with its tensors; None if torch has no module of that kind."""
    held = {key: tensors[name] for key, name in _held(node).items()}
    arguments: Mapping[str, Any] = arguments_of(node)
    if any(isinstance(arguments[k], fx.Node) and k not in held for k in arguments if k != "input"):
        return None  # a weight that is computed
    operation = str(operation_of(node))
    if operation == "batch_norm" and ranks[node.name] != len("NCHW"):
        return None
    with torch.device("meta"):
        layer: nn.Module | None = LAYERS[operation](arguments, held)
    if layer is None:
        return None
    for name, tensor in held.items():
        if name in layer._buffers:
            layer.register_buffer(name, tensor)
        else:
            layer.register_parameter(name, nn.Parameter(tensor.detach(), tensor.requires_grad))
    return layer


def _convolution(arguments: Mapping[str, Any], held: Mapping[str, Tensor]) -> nn.Module:
    outputs, inputs, *window = held["weight"].shape
    groups = arguments["groups"]
    return nn.Conv2d(
        inputs * groups,
        outputs,
        tuple(window),  # type: ignore[arg-type]
        tuple(arguments["stride"]),
        tuple(arguments["padding"]),
        tuple(arguments["dilation"]),
        groups,
        bias="bias" in held,
    )


def _dense(_: Mapping[str, Any], held: Mapping[str, Tensor]) -> nn.Module:
    outputs, inputs = held["weight"].shape
    return nn.Linear(inputs, outputs, bias="bias" in held)


def _norm(arguments: Mapping[str, Any], held: Mapping[str, Tensor]) -> nn.Module | None:
    if ("weight" in held) != ("bias" in held):
        return None
    channels = len(held["running_mean"])
    norm = nn.BatchNorm2d(channels, eps=arguments["eps"], affine="weight" in held)
    norm.register_buffer("num_batches_tracked", None)  # of no use here, and no tensor of a program
    return norm


LAYERS: Final[Mapping[str, Any]] = {
    "conv2d": _convolution,
    "linear": _dense,
    "batch_norm": _norm,
}


def _max_pool(arguments: Mapping[str, Any]) -> nn.Module:
    window, stride, padding, dilation = (
        value[0] if value[0] == value[1] else tuple(value)
        for value in (arguments[k] for k in ("kernel_size", "stride", "padding", "dilation"))
    )
    return nn.MaxPool2d(window, stride, padding, dilation, ceil_mode=arguments["ceil_mode"])


def _relu(graph: fx.Graph, arguments: Mapping[str, Any]) -> fx.Node:
    return graph.call_function(nn.functional.relu, (arguments["self"],))


def _hardtanh(graph: fx.Graph, arguments: Mapping[str, Any]) -> fx.Node:
    bounds = {key: arguments[key] for key in ("min_val", "max_val")}
    return graph.call_function(nn.functional.hardtanh, (arguments["self"],), bounds)


def _length(graph: fx.Graph, arguments: Mapping[str, Any]) -> fx.Node:
    return graph.call_method("size", (arguments["self"], arguments["dim"]))


# As converters know them.
FUNCTIONS: Final = {"relu": _relu, "hardtanh": _hardtanh, LENGTH: _length}


def _call(graph: fx.Graph, node: fx.Node, name: str) -> None:
    """The call of a module in place of an operation."""
    _replace(graph, node, lambda g, _: g.call_module(name, (node.all_input_nodes[0],)))


def _replace(graph: fx.Graph, node: fx.Node, make: Write) -> None:
    with graph.inserting_before(node):
        called = make(graph, arguments_of(node))
    called.meta[MODULE] = node.meta.get(MODULE, "")
    node.replace_all_uses_with(called)
    graph.erase_node(node)


def _put(home: nn.Module, name: str, value: Tensor | nn.Module) -> None:
    *folders, last = name.split(".")
    for folder in folders:
        if not hasattr(home, folder):
            home.add_module(folder, nn.Module())
        home = getattr(home, folder)
    if isinstance(value, nn.Module):
        home.add_module(last, value)
    elif isinstance(value, nn.Parameter):
        home.register_parameter(last, value)
    else:
        home.register_buffer(last, value)
