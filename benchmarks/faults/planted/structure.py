"""Faults of structure: one operation of the network is wrong, every weight is right.

Compared as in `weights`: the checkpoint's network has the fault, the clean file does not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import fx, nn

from benchmarks.faults.bench import replaced_network
from benchmarks.faults.fault import DoesNotApply, Fault
from benchmarks.faults.planted.weights import Mismatched
from pipeline.compress.activation_quantization import rounded_places

Change = Callable[[fx.GraphModule], None]
RELUS: Final = (F.relu, torch.relu, "relu", "relu_")
OTHER_ACTIVATIONS: Final = (nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid)
PRODUCTS: Final = (operator.mul, torch.mul, "mul")
SUMS: Final = (operator.add, operator.iadd, torch.add, "add", "add_")
CONCATENATIONS: Final = (torch.cat, torch.concat)


def traced(network: nn.Module) -> fx.GraphModule:
    """The network as a graph of operations, in which single calls can be changed."""
    return network if isinstance(network, fx.GraphModule) else fx.symbolic_trace(network)


def in_structure(change: Change) -> Callable[[nn.Module], nn.Module]:
    """Change the operations of a network."""

    def changed(network: nn.Module) -> nn.Module:
        made = traced(network)
        change(made)
        made.recompile()
        return made.eval()

    return changed


def called(network: fx.GraphModule, kind: type[nn.Module]) -> Iterator[tuple[fx.Node, nn.Module]]:
    """The calls of modules of one kind, in order, fused with a ReLU or not."""
    for node in network.graph.nodes:
        if node.op == "call_module":
            module = network.get_submodule(str(node.target))
            module = module[0] if isinstance(module, nn.Sequential) else module
            if isinstance(module, kind):
                yield node, module


def padded_convolution(network: fx.GraphModule) -> tuple[fx.Node, nn.Conv2d]:
    """The last call of a 3x3 convolution that keeps the size."""
    found = [
        (node, module)
        for node, module in called(network, nn.Conv2d)
        if isinstance(module, nn.Conv2d)
        and (module.kernel_size, module.padding, module.stride) == ((3, 3), (1, 1), (1, 1))
    ]
    if not found:
        raise DoesNotApply("no call of a 3x3 convolution that keeps the size")
    return found[-1]


def pad_one_side(network: fx.GraphModule) -> None:
    """1,1,1,1 -> 0,2,0,2: the same shape, moved by one pixel."""
    node, convolution = padded_convolution(network)
    convolution.padding = (0, 0)
    with network.graph.inserting_before(node):
        pad = network.graph.call_function(F.pad, (node.args[0], (0, 2, 0, 2)))
    node.args = (pad, *node.args[1:])


def dilate(network: fx.GraphModule) -> None:
    _, convolution = padded_convolution(network)
    convolution.dilation, convolution.padding = (2, 2), (2, 2)


def drop_relu(network: fx.GraphModule) -> None:
    """The first: one after a sum of residual branches may have nothing negative to remove."""
    modules = {node for node, _ in called(network, nn.ReLU)}
    relus = [n for n in network.graph.nodes if n in modules or n.target in RELUS]
    if not relus:
        raise DoesNotApply("every ReLU is part of the layer before it")
    _drop(network, _doing_something(network, relus))


def drop_other_activation(network: fx.GraphModule) -> None:
    found = [node for kind in OTHER_ACTIVATIONS for node, _ in called(network, kind)]
    if not found:
        raise DoesNotApply("the network has no activation other than ReLU")
    _drop(network, _doing_something(network, found))


def _doing_something(network: fx.GraphModule, activations: list[fx.Node]) -> fx.Node:
    """The first that is not a clamp before a grid which begins, or ends, there in any case."""
    from_zero = {id(place) for _, place in rounded_places(network) if int(place.zero_point) == 0}
    of = dict(network.named_modules(remove_duplicate=False))

    def read_by_grids(node: fx.Node) -> bool:
        return all(id(of.get(str(user.target))) in from_zero for user in node.users)

    clamps = (nn.ReLU, nn.ReLU6)
    modules = {node for kind in clamps for node, _ in called(network, kind)}
    for node in activations:
        if not ((node in modules or node.target in RELUS) and read_by_grids(node)):
            return node
    raise DoesNotApply("every activation is one that the grid after it does in any case")


def drop_gate(network: fx.GraphModule) -> None:
    """Squeeze and excitation without the latter: what is multiplied goes on as it is."""
    _bypass(network, PRODUCTS, "multiplies nothing by what was computed from it")


def drop_branch(network: fx.GraphModule) -> None:
    _bypass(network, SUMS, "adds nothing to what it was computed from")


def _bypass(network: fx.GraphModule, operations: tuple[object, ...], lacking: str) -> None:
    """Leave out the first such operation on two values of which one was computed from the other."""
    for node in network.graph.nodes:
        inputs = node.all_input_nodes
        if node.target in operations and len(inputs) == 2:
            for source, made in (inputs, reversed(inputs)):
                if _depends(made, source):
                    node.replace_all_uses_with(source)
                    network.graph.erase_node(node)
                    return
    raise DoesNotApply(f"the network {lacking}")


def _drop(network: fx.GraphModule, node: fx.Node) -> None:
    (before, *_) = node.all_input_nodes
    node.replace_all_uses_with(before)
    network.graph.erase_node(node)


def _depends(node: fx.Node, source: fx.Node) -> bool:
    waiting, seen = [node], {node}
    while waiting:
        new = [n for n in waiting.pop().all_input_nodes if n not in seen]
        waiting += new
        seen.update(new)
    return source in seen


def swap_branches(network: fx.GraphModule) -> None:
    for node in network.graph.nodes:
        if node.target in CONCATENATIONS:
            branches = node.args[0] if node.args else node.kwargs["tensors"]
            if len(branches) > 1:
                node.args = ([branches[1], branches[0], *branches[2:]], *node.args[1:])
                return
    raise DoesNotApply("the network concatenates nothing")


def average_for_maximum(network: fx.GraphModule) -> None:
    for node, pool in called(network, nn.MaxPool2d):
        assert isinstance(pool, nn.MaxPool2d)
        average = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
        network.add_submodule("averaging", average)
        node.target = "averaging"
        return
    raise DoesNotApply("the network has no maximum pool")


CHANGES: Final[Mapping[str, Change]] = {
    "padding 1,1,1,1 made 0,2,0,2 in one 3x3 convolution": pad_one_side,
    "dilation 2 in one 3x3 convolution": dilate,
    "one ReLU removed": drop_relu,
    "one activation other than ReLU removed": drop_other_activation,
    "one gate removed": drop_gate,
    "one residual branch removed": drop_branch,
    "branches of one concat swapped": swap_branches,
    "one pool averages": average_for_maximum,
}
# What these change is small; in fp16 it may show in the evidence and in the structure alone.
SMALL: Final = (drop_branch, dilate)
FAULTS: Final = tuple(
    Fault(
        name,
        Mismatched(replaced_network(in_structure(change))),
        () if change in SMALL else ("outputs",),
    )
    for name, change in CHANGES.items()
)
