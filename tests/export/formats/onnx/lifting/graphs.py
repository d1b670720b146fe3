"""ONNX graphs in a few lines: the image becomes planes of float32, and some nodes follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

OPSET = 17


def node(
    operation: str, *inputs: str, to: str | Sequence[str] = "y", **attributes: Any
) -> NodeProto:
    outputs = [to] if isinstance(to, str) else list(to)
    name = attributes.pop("name", "")
    return helper.make_node(operation, inputs, outputs, name=name, **attributes)


def model_of(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Any] | None = None,
    side: tuple[int, int] = (2, 2),
    opset: int = OPSET,
    outputs: Sequence[str] = ("y",),
) -> ModelProto:
    """The nodes read the planes as ``x`` and make ``y``."""
    before = [
        node("Transpose", "image", to="turned", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["x"], to=TensorProto.FLOAT),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, (1, *side, 3))
    tensors = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in (constants or {}).items()
    ]
    graph = helper.make_graph(
        [*before, *nodes],
        "graph",
        [image],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        initializer=tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
