"""Small ONNX graphs, and the graph that onnxruntime makes from a file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from export.formats.onnx import format as onnx_format


def network_of(*weights: np.ndarray, bias: np.ndarray | None = None) -> Any:
    """A chain of 1x1 convolutions with these weights, the first with a bias."""
    nodes, tensors, value = [], [], "image"
    for i, weight in enumerate(weights):
        inputs = [value, f"layer{i}.weight"]
        tensors.append(numpy_helper.from_array(weight, f"layer{i}.weight"))
        if i == 0 and bias is not None:
            inputs.append("layer0.bias")
            tensors.append(numpy_helper.from_array(bias, "layer0.bias"))
        value = "probs" if i == len(weights) - 1 else f"value{i}"
        nodes.append(helper.make_node("Conv", inputs, [value], f"layer{i}"))
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 2, 2])
        for name, channels in (("image", weights[0].shape[1]), ("probs", weights[-1].shape[0]))
    ]
    graph = helper.make_graph(nodes, "chain", ports[:1], ports[1:], tensors)
    opsets = [helper.make_opsetid("", onnx_format.OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def operations(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def optimised(path: Path, folder: Path) -> Any:
    """The graph that onnxruntime runs, by default options."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimised.onnx")
