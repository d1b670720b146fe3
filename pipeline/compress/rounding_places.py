"""Where a network's activations are rounded to 8 bits: decided on its graph.

In: a network whose batch norms are folded. Out: the same network traced, with a module at every
place: after the pixels, and after each operation that a runtime computes in integers. A place has
the name of the module or operation whose result is rounded, and those after which the numbers are
on the same scale share it: a pool and its input, a concatenation and all that it joins.

Integer arithmetic has convolutions and linear layers, with the ReLU after them, sums, products,
concatenations and hard-swish. What only moves numbers passes them on. All else (other activations,
averages, layer norms, batch norms that stay, products with a constant) is computed in floating
point, and its result is rounded where integer arithmetic takes it. So is a sum or concatenation
that only floating point reads. The output of the last layer stays in floating point as well: steps
in the logits would be steps in every probability, and it costs almost nothing.
"""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import fx, nn
from torch.nn import functional as F

from pipeline.errors import BadInput

PIXELS: Final = "pixels"
PREFIX: Final = "rounding_"  # of the modules at the places
RELU6: Final = 6.0
LEAVES: Final = (nn.Conv2d, nn.Linear, nn.LayerNorm, nn.BatchNorm2d)
WEIGHTED: Final = (nn.Conv2d, nn.Linear)
SIZES: Final = (getattr, "size", "dim")  # what tells of a tensor's shape
KINDS: Final[Mapping[str, tuple[Any, ...]]] = {
    "relu": (nn.ReLU, F.relu, torch.relu, torch.relu_, "relu", "relu_"),
    "relu6": (nn.ReLU6, F.relu6, nn.Hardtanh, F.hardtanh, torch.clamp, "clamp"),
    "add": (operator.add, operator.iadd, torch.add, "add", "add_"),
    "mul": (operator.mul, operator.imul, torch.mul, "mul", "mul_"),
    "cat": (torch.cat,),
    "hardswish": (nn.Hardswish, F.hardswish),
    # Numbers are moved, or the largest of some is taken.
    "moved": (
        *(nn.MaxPool2d, nn.Flatten, nn.ZeroPad2d, nn.ChannelShuffle, F.max_pool2d, F.pad),
        *(torch.max_pool2d, torch.flatten, torch.permute, torch.transpose, torch.reshape),
        *("flatten", "reshape", "view", "permute", "transpose", "contiguous", operator.getitem),
    ),
    "parted": (torch.chunk, torch.split, "chunk", "split"),
    "nothing": (nn.Identity, nn.Dropout, nn.Dropout2d, F.dropout, F.dropout2d),
}
KIND_OF: Final = {target: kind for kind, targets in KINDS.items() for target in targets}
FUSED: Final = ("relu", "relu6")  # into a layer or a sum that nothing else reads
INTEGER: Final = ("add", "mul", "cat", "hardswish")


@dataclass(frozen=True)
class Kernel:
    """What an integer kernel computes.

    Attributes:
        kind: ``layer``, or one of `INTEGER`.
        node: of the operation.
        activation: `FUSED` that it includes; empty: none.
        operands: the places that it reads.
    """

    kind: str
    node: fx.Node
    activation: str
    operands: tuple[fx.Node, ...]


def with_places(network: nn.Module, make: Callable[[str], nn.Module]) -> fx.GraphModule:
    """A copy of the network, traced, with what `make` gives for its name at every place.

    Raises:
        BadInput: its `forward` decides by what it is given.
    """
    traced = traced_network(copy.deepcopy(network).eval())
    found = _Decision(traced)
    made: dict[str, str] = {}
    for node, name in found.places():
        if name not in made:
            made[name] = f"{PREFIX}{len(made)}"
            traced.add_module(made[name], make(name))
        with traced.graph.inserting_after(node):
            place = traced.graph.call_module(made[name], (node,))
        node.replace_all_uses_with(place)
        place.args = (node,)
    traced.recompile()
    return traced


def kernel_of(place: fx.Node) -> Kernel | None:
    """The integer kernel whose result is rounded at a place; None: it is in floating point."""
    (end,) = place.all_input_nodes
    activation, node = "", end
    if kind_of(end) in FUSED:
        (before,) = end.all_input_nodes
        if kind_of(before) in ("layer", "add") and len(before.users) == 1:
            activation, node = kind_of(end), before
    operands = operands_of(node)
    if kind_of(node) not in ("layer", *INTEGER) or not all(map(is_place, operands)):
        return None
    return Kernel(kind_of(node), node, activation, operands)


def is_place(node: fx.Node) -> bool:
    """Whether a node rounds."""
    return node.op == "call_module" and str(node.target).startswith(PREFIX)


def kind_of(node: fx.Node) -> str:
    """What a node is: ``layer``, a key of `KINDS`, or empty."""
    return str(node.meta.get("kind", ""))


def operands_of(node: fx.Node) -> tuple[fx.Node, ...]:
    """The tensors that an operation reads, in order; without a layer's own."""
    if kind_of(node) == "cat":
        return tuple(node.args[0])  # type: ignore[arg-type]
    given = node.args[:2] if kind_of(node) in ("add", "mul") else node.args[:1]
    return tuple(value for value in given if isinstance(value, fx.Node))


class _Tracer(fx.Tracer):
    """Traces into all modules but torch's own and those with the weights of a layer."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        plain = type(m).forward in [kind.forward for kind in LEAVES]
        # timm's own convolutions decide by the size of their input.
        return plain or isinstance(m, nn.Conv2d) or super().is_leaf_module(m, module_qualified_name)


def traced_network(network: nn.Module) -> fx.GraphModule:
    """The network as a graph of its own modules, without what does nothing in evaluation.

    Raises:
        BadInput: as `with_places`.
    """
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # of fx, or whatever the network makes of a placeholder
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInput(
            f"the network decides by the images that it is given, so that places to round its "
            f"activations cannot be found ({said}); w4 and w3 round its weights alone"
        ) from error
    traced = fx.GraphModule(network, graph)
    calls = Counter(node.target for node in traced.graph.nodes)
    for node in list(traced.graph.nodes):
        node.meta["kind"] = _kind(node, traced, calls)
        if kind_of(node) == "nothing":
            node.replace_all_uses_with(node.all_input_nodes[0])
            traced.graph.erase_node(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _kind(node: fx.Node, traced: fx.GraphModule, calls: Mapping[Any, int]) -> str:
    if node.op not in ("call_module", "call_function", "call_method"):
        return ""
    if node.op != "call_module":
        if getattr(node.target, "__name__", "") == "stochastic_depth":
            return "nothing"
        kind = KIND_OF.get(node.target, "")
        module = None
    else:
        module = traced.get_submodule(str(node.target))
        if isinstance(module, WEIGHTED):
            return "layer" if _is_plain(module) and calls[node.target] == 1 else ""
        kind = KIND_OF.get(type(module), "")
    if kind in ("add", "mul") and (numbers := _numbers(node)):
        return "nothing" if (kind, numbers) == ("add", [0]) else ""
    unlike = (
        (kind == "relu6" and not _is_relu6(node, module))
        or (node.target is F.pad and not _is_pad_of_zeros(node))
        or (node.target is operator.getitem and not _is_part(node))
        or (kind == "add" and node.kwargs.get("alpha", 1) != 1)
    )
    return "" if unlike else kind


def _numbers(node: fx.Node) -> list[object]:
    """The operands of a sum or product that are no tensors: ``sum()`` begins with 0."""
    given = (*node.args[:2], *(value for key, value in node.kwargs.items() if key == "other"))
    return [value for value in given if not isinstance(value, fx.Node)]


def _is_plain(layer: nn.Module) -> bool:
    """Whether integer kernels compute it: its weight as it is, zeros around."""
    if not isinstance(layer, nn.Conv2d):
        return type(layer).forward is nn.Linear.forward
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return False
    if type(layer).forward is nn.Conv2d.forward:
        return True
    shadow = copy.deepcopy(layer).to("meta").requires_grad_(True)  # timm's: what does it multiply?
    with torch.inference_mode(False), torch.enable_grad():
        made: Any = shadow(torch.empty(1, layer.in_channels, 32, 32, device="meta")).grad_fn
    weight = made.next_functions[1][0] if "Convolution" in type(made).__name__ else None
    return getattr(weight, "variable", None) is shadow.weight


def _is_relu6(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether it cuts at 0 and 6, however it is written."""
    if node.target is F.relu6:
        return True
    if isinstance(module, nn.Hardtanh):
        return (module.min_val, module.max_val) == (0.0, RELU6)
    low = [*node.args[1:2], *(node.kwargs.get(key) for key in ("min_val", "min"))]
    high = [*node.args[2:3], *(node.kwargs.get(key) for key in ("max_val", "max"))]
    ends = [[v for v in values if v is not None] for values in (low, high)]
    return ends == [[0.0], [RELU6]]


def _is_pad_of_zeros(node: fx.Node) -> bool:
    given = {**dict(zip(("mode", "value"), node.args[2:], strict=False)), **node.kwargs}
    return given.get("mode", "constant") == "constant" and not given.get("value")


def _is_part(node: fx.Node) -> bool:
    """Whether an indexed node gives a part of a tensor, or of one that was parted."""
    of, index = node.args[:2]
    parted = isinstance(of, fx.Node) and kind_of(of) == "parted"
    return parted or isinstance(index, slice | tuple)


class _Decision:
    """Which results are on a scale of 8 bits (`coded`), and which share one."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.nodes = list(traced.graph.nodes)
        self.images = _images(self.nodes)
        layers = [node for node in self.nodes if kind_of(node) == "layer"]
        self.last = layers[-1] if layers else None
        self.wanted: set[fx.Node] = set()
        for node in reversed(self.nodes):
            if self._is_integer(node) or node is self.last:
                self.wanted.update(operands_of(node))
            elif kind_of(node) in ("moved", "parted") and node in self.wanted:
                self.wanted.add(node.args[0])
        self.first: dict[fx.Node, fx.Node] = {}  # node -> another on its scale, or itself

    def _activation(self, node: fx.Node) -> fx.Node | None:
        """The ReLU that is part of a layer or sum."""
        (user,) = node.users if len(node.users) == 1 else (None,)
        fuses = kind_of(node) in ("layer", "add") and user is not None and kind_of(user) in FUSED
        return user if fuses else None

    def _is_integer(self, node: fx.Node) -> bool:
        if kind_of(node) == "layer":
            return node is not self.last
        if kind_of(node) not in INTEGER:
            return False
        operands = operands_of(node)
        both = len(operands) == 2 or kind_of(node) not in ("add", "mul")
        end = self._activation(node) or node
        return end in self.wanted and both and all(o in self.images for o in operands)

    def places(self) -> Iterator[tuple[fx.Node, str]]:
        """The nodes whose results are rounded, each with the name of its place."""
        coded: list[fx.Node] = []
        inner: set[fx.Node] = set()
        for node in self.nodes:
            if node not in self.images or node.op == "output":
                continue
            if self._is_integer(node) and (end := self._activation(node)):
                inner.add(node)
                self.wanted.add(end)
                continue
            passes = kind_of(node) in ("moved", "parted", *FUSED) and node.args[0] in self.first
            if not (passes or self._is_integer(node) or node in self.wanted):
                continue
            self.first[node] = node
            coded.append(node)
            if passes:
                self._join(node, node.args[0])
            if kind_of(node) == "cat":
                for operand in operands_of(node):
                    self._join(node, operand)
        names = _names(self.nodes)
        order = {node: i for i, node in enumerate(self.nodes)}
        shared: dict[fx.Node, fx.Node] = {}
        for node in coded:
            root = self._root(node)
            shared[root] = min(shared.get(root, node), node, key=order.__getitem__)
        for node in coded:
            if kind_of(node) != "parted":
                yield node, names[shared[self._root(node)]]

    def _root(self, node: fx.Node) -> fx.Node:
        while self.first[node] is not node:
            node = self.first[node]
        return node

    def _join(self, one: fx.Node, other: Any) -> None:
        self.first[self._root(one)] = self._root(other)


def _images(nodes: Iterable[fx.Node]) -> set[fx.Node]:
    """The nodes whose results are tensors that depend on the pixels."""
    images: set[fx.Node] = set()
    for node in nodes:
        follows = any(before in images for before in node.all_input_nodes)
        if node.op == "placeholder" or (follows and node.target not in SIZES):
            images.add(node)
    return images


def _names(nodes: Iterable[fx.Node]) -> dict[fx.Node, str]:
    """Each node's name in the network: of its module, or its operation after that of its module."""
    names: dict[fx.Node, str] = {}
    seen: Counter[str] = Counter()
    for node in nodes:
        if node.op == "placeholder":
            name = PIXELS
        elif node.op == "call_module":
            name = str(node.target)
        else:
            stack = list((node.meta.get("nn_module_stack") or {}).values())
            owner = stack[-1][0] if stack else ""
            operation = str(getattr(node.target, "__name__", node.target))
            name = f"{owner}.{operation}".lstrip(".")
        seen[name] += 1
        names[node] = name if seen[name] == 1 else f"{name}:{seen[name]}"
    return names
