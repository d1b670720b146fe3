"""The normalisation taken out of the first convolution again: `fold_normalisation` put it there.

In: a graph whose first convolution has w / s as weight and b - sum of (w / s) m as bias, each
computed from constants, and no padding. Out: the graph that subtracts m, divides by s and convolves
with w and b, which is the same function. A graph of another form is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from export.formats.onnx.lifting.graph import Arrays, Graph, Node

PER_CHANNEL: Final = (1, 3, 1, 1)
NORMALISED: Final = ("pixels_centred", "pixels_normalised")


def taken_out(graph: Graph, pixels: str) -> Graph:
    """`pixels`: name of the value that holds planes of float32."""
    made_by = {name: node for node in graph.nodes for name in node.outputs}
    for i, node in enumerate(graph.nodes):
        if node.operation != "Conv" or node.inputs[0] != pixels or len(node.inputs) < 3:
            continue
        parts = _parts(node, made_by, graph.constants)
        if parts is None:
            return graph
        weight, bias, mean, std = parts
        centred, normalised = NORMALISED
        before = type(node)("Sub", "", (pixels, mean), (centred,), {})
        divided = type(node)("Div", "", (centred, std), (normalised,), {})
        layer = replace(node, inputs=(normalised, weight, bias))
        nodes = (*graph.nodes[:i], before, divided, layer, *graph.nodes[i + 1 :])
        return replace(graph, nodes=nodes)
    return graph


def _parts(
    layer: Node, made_by: Mapping[str, Node], constants: Arrays
) -> tuple[str, str, str, str] | None:
    """Names of w, b, m and s."""
    scaled, moved = (made_by.get(name) for name in layer.inputs[1:])
    if any(layer.attributes.get("pads", ())) or layer.attributes.get("group", 1) != 1:
        return None
    if layer.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return None
    if scaled is None or moved is None or (scaled.operation, moved.operation) != ("Div", "Sub"):
        return None
    total = made_by.get(moved.inputs[1])
    shift = made_by.get(total.inputs[0]) if total is not None else None
    if total is None or shift is None or (total.operation, shift.operation) != ("ReduceSum", "Mul"):
        return None
    axes = constants.get(total.inputs[1]) if len(total.inputs) > 1 else None
    if axes is None or sorted(axes.tolist()) != [1, 2, 3] or total.attributes != {"keepdims": 0}:
        return None
    mean, std = shift.inputs[1], scaled.inputs[1]
    for name in (mean, std):
        if name not in constants or constants[name].shape != PER_CHANNEL:
            return None
    if shift.inputs[0] != scaled.outputs[0]:
        return None
    return scaled.inputs[0], moved.inputs[0], mean, std
