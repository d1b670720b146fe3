"""Where a network takes the average over all places of an image: found in its traced graph.

In: a module, float32 (N, 3, H, W) -> logits. Out: `Cut`, the point before its global pool, or None.

`torch.fx` traces the network with its submodules as single nodes, so that only the outermost
`forward` is looked at, and every library's layers stay what they are. One run on the meta device
gives the shape of each node's output. The places of an image are lost at the first node whose input
is (N, C, h, w) and whose output has no h and w. If that is a submodule with submodules of its own
(a classifier with the pool inside), it is traced too. Whether the node is a plain average is not
told by its name: it gets random numbers, and its answer is compared with their mean.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

# What fixed sizes there are: most networks take any, the rest ask for one of these.
SIDES: Final = (224, 256, 384, 448)
FLATTENED: Final = (torch.flatten, "flatten", "reshape", "view")


@dataclass(frozen=True)
class Cut:
    """Where a network's body ends.

    Attributes:
        opened: submodules that are traced into.
        last: the node whose output is the body's, float32 (N, C, h, w).
        channels: C.
        channels_last: that output is (N, h, w, C) instead.
    """

    opened: frozenset[str]
    last: str
    channels: int
    channels_last: bool


class _Outermost(fx.Tracer):
    """Traces the module itself and what is `opened`; all else is a node."""

    def __init__(self, opened: frozenset[str]) -> None:
        super().__init__()
        self.opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.opened


def traced(model: nn.Module, opened: frozenset[str]) -> fx.Graph:
    """The graph of `model` in evaluation, its submodules nodes but for those that are opened."""
    training = model.training
    try:
        return _Outermost(opened).trace(model.eval())
    finally:
        model.train(training)


def find_cut(model: nn.Module) -> Cut | None:
    """The point before the plain average over all places; None if there is none.

    None too where the outermost `forward` cannot be traced: it decides by the pixels.
    """
    shapes = copy.deepcopy(model).to("meta").eval()
    for side in SIDES:
        try:
            return _cut(model, shapes, side)
        except Exception:  # whatever a network says of a size that it does not take
            continue
    return None


def _cut(model: nn.Module, shapes: nn.Module, side: int) -> Cut | None:
    opened = frozenset({""})
    while True:
        graph = traced(shapes, opened)
        outputs = _Outputs(fx.GraphModule(shapes, graph))
        outputs.run(torch.empty(1, 3, side, side, device="meta"))
        node, before = next(_lose_places(graph, outputs.of), (None, None))
        if node is None or before is None:
            return None
        kind = _average(model, node, before)
        if kind is None and _is_flatten(node) and _pools_to_a_size(model, before):
            # A pool to 7x7 and dense layers for each place, as VGG has them.
            before, kind = before.all_input_nodes[0], "NCHW"
        if kind is not None and _all_pass(graph, node):
            last = _before_the_classes(model, node, before)
            shape = outputs.of[last].shape
            channels_last = kind == "NHWC"
            return Cut(opened, last.name, shape[3 if channels_last else 1], channels_last)
        target = str(node.target)
        if node.op != "call_module" or not list(model.get_submodule(target).children()):
            return None
        opened |= {target}


class _Outputs(fx.Interpreter):
    """Runs a graph and keeps what each node gives."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.of: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        self.of[n] = super().run_node(n)
        return self.of[n]

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        # fx hands lists over that must not be changed; some networks change theirs.
        plain = tuple(list(a) if isinstance(a, list) else a for a in args)
        return super().call_module(target, plain, kwargs)


def _has_places(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] * value.shape[3] > 1


def _lose_places(
    graph: fx.Graph, outputs: Mapping[fx.Node, Any]
) -> Iterator[tuple[fx.Node, fx.Node]]:
    """The nodes after which no places are left, each with the node that gave it them."""
    for node in graph.nodes:
        value = outputs.get(node)
        if node.op.startswith("call_") and isinstance(value, Tensor) and not _has_places(value):
            given = [source for source in node.all_input_nodes if _has_places(outputs[source])]
            if given:
                yield node, given[0]


def _average(model: nn.Module, node: fx.Node, source: fx.Node) -> str | None:
    """``NCHW`` or ``NHWC`` if the node averages its input over h and w, and does nothing else."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 5, 3, 4, generator=generator, device="cpu")
    arguments = fx.map_arg(node.args, lambda n: pixels if n is source else n)
    options = fx.map_arg(node.kwargs, lambda n: pixels if n is source else n)
    try:
        if node.op == "call_module":
            answer = model.get_submodule(str(node.target))(*arguments, **options)
        elif node.op == "call_function":
            assert callable(node.target)
            answer = node.target(*arguments, **options)
        else:
            answer = getattr(pixels, str(node.target))(*arguments[1:], **options)
    except Exception:  # a layer for other numbers of channels: no pool
        return None
    for kind, dims in (("NCHW", (2, 3)), ("NHWC", (1, 2))):
        expected = pixels.mean(dims).flatten()
        if answer.numel() == len(expected) and torch.allclose(answer.flatten(), expected):
            return kind
    return None


def _is_flatten(node: fx.Node) -> bool:
    return node.target in FLATTENED


def _pools_to_a_size(model: nn.Module, node: fx.Node) -> bool:
    """Whether it is an average pool that makes one size of any."""
    if node.op != "call_module":
        return node.target is nn.functional.adaptive_avg_pool2d
    return isinstance(model.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d)


def _all_pass(graph: fx.Graph, pool: fx.Node) -> bool:
    """Whether all that comes after the pool comes from it alone."""
    nodes = list(graph.nodes)
    place = {node: position for position, node in enumerate(nodes)}
    after = nodes[place[pool] + 1 :]
    return all(place[source] >= place[pool] for node in after for source in node.all_input_nodes)


def _before_the_classes(model: nn.Module, pool: fx.Node, before: fx.Node) -> fx.Node:
    """Where a convolution to the classes stands before the pool (SqueezeNet): before it."""
    graph = list(pool.graph.nodes)
    if any(_has_weights(model, node) for node in graph[graph.index(pool) :]):
        return before
    node = before
    while not _has_weights(model, node):
        node = node.all_input_nodes[0]
    node = node.all_input_nodes[0]
    while node.op == "call_module" and isinstance(
        model.get_submodule(str(node.target)), nn.Dropout
    ):
        node = node.all_input_nodes[0]
    return node


def _has_weights(model: nn.Module, node: fx.Node) -> bool:
    if node.op != "call_module":
        return False
    return next(model.get_submodule(str(node.target)).parameters(), None) is not None
