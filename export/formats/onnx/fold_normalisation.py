"""The normalisation of pixels as part of the first convolution, folded when the file is loaded.

In: a graph that subtracts a mean from the pixels and divides them, before a convolution without
padding. Out: the same numbers from the raw pixels,
w (x - m) / s + b = (w / s) x + (b - sum of (w / s) m).
The file stores w, b, m and s, and onnxruntime folds what depends on them at load; so the weights
are still those of the checkpoint, and the normalisation can be read back and checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

NAMES: Final = ("normalised_weight", "normalised_shift", "normalised_sum", "normalised_bias")
SUM_AXES: Final = "normalised_axes"


@dataclass(frozen=True)
class Normalisation:
    """The normalisation as a file stores it in its first convolution.

    Attributes:
        weight, bias: names of the convolution's inputs before.
        mean, std: float32 (3,), in units of pixels.
    """

    weight: str
    bias: str
    mean: NDArray[np.float32]
    std: NDArray[np.float32]


def take_in_normalisation(model: ModelProto) -> None:
    """Rewrite the graph in place; a graph of another form does not change.

    Padding prevents it: the zeros around an image are zeros after the normalisation.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    layer = next((node for node in graph.node if node.op_type == "Conv"), None)
    if layer is None or len(layer.input) < 3 or _is_padded(layer):
        return
    divide = made_by.get(layer.input[0])
    subtract = made_by.get(divide.input[0]) if divide is not None else None
    for node, operation in ((divide, "Div"), (subtract, "Sub")):
        if node is None or node.op_type != operation or node.input[1] not in stored:
            return
        if sum(node.output[0] in other.input for other in graph.node) > 1:
            return
    assert divide is not None
    assert subtract is not None
    weight, shift, total, bias = NAMES
    mean, std = subtract.input[1], divide.input[1]
    added = [
        helper.make_node("Div", [layer.input[1], std], [weight]),
        helper.make_node("Mul", [weight, mean], [shift]),
        helper.make_node("ReduceSum", [shift, SUM_AXES], [total], keepdims=0),
        helper.make_node("Sub", [layer.input[2], total], [bias]),
    ]
    layer.input[0], layer.input[1], layer.input[2] = subtract.input[0], weight, bias
    graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 3]), SUM_AXES))
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node is layer:
            nodes += added
        if node not in (divide, subtract):
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def read_normalisation(model: ModelProto) -> Normalisation | None:
    """The normalisation that `take_in_normalisation` put into a graph; None if there is none."""
    from onnx import numpy_helper

    made_by = {name: node for node in model.graph.node for name in node.output}
    weight, shift, _, bias = NAMES
    if weight not in made_by or bias not in made_by or shift not in made_by:
        return None
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    mean, std = (
        numpy_helper.to_array(stored[made_by[name].input[1]]).reshape(-1)
        for name in (shift, weight)
    )
    return Normalisation(made_by[weight].input[0], made_by[bias].input[0], mean, std)


def _is_padded(layer: NodeProto) -> bool:
    for attribute in layer.attribute:
        if attribute.name == "pads" and any(attribute.ints):
            return True
        if attribute.name == "auto_pad" and attribute.s not in (b"NOTSET", b"VALID"):
            return True
        if attribute.name == "group" and attribute.i != 1:
            return True
    return False
