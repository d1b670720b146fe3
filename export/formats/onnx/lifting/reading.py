"""The graph of an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.errors import Unreadable
from export.formats.onnx.lifting.graph import Graph, Node

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto, NodeProto

ONNX_DOMAINS = ("", "ai.onnx")


def read_graph(path: Path) -> Graph:
    """Raises Unreadable: not an ONNX file, or one with more than one input."""
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's and onnx's errors share no base
        raise Unreadable(f"onnx cannot read {path.name}: {error}") from error
    return graph_of(model)


def graph_of(model: ModelProto) -> Graph:
    """The same of a model in memory."""
    from onnx import helper, numpy_helper

    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    ports = [port for port in graph.input if port.name not in constants]
    if len(ports) != 1:
        raise Unreadable(f"the graph has inputs {[port.name for port in ports]}, not one")
    tensor = ports[0].type.tensor_type
    (opset,) = (e.version for e in model.opset_import if e.domain in ONNX_DOMAINS)
    return Graph(
        nodes=tuple(_node(node) for node in graph.node),
        constants=constants,
        input=ports[0].name,
        input_type=helper.tensor_dtype_to_np_dtype(tensor.elem_type),
        input_shape=tuple(dim.dim_value for dim in tensor.shape.dim),
        outputs=tuple(port.name for port in graph.output),
        opset=opset,
    )


def _node(node: NodeProto) -> Node:
    from onnx import helper

    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return Node(
        operation=node.op_type if node.domain in ONNX_DOMAINS else f"{node.domain}.{node.op_type}",
        name=node.name,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={
            key: value.decode() if isinstance(value, bytes) else value
            for key, value in attributes.items()
        },
    )
