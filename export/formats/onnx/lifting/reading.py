"""The graph of an ONNX file, and nothing else in it: what is not read here is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from export.errors import Unreadable
from export.formats.onnx.lifting.graph import Graph, Node
from export.formats.unread_fields import Fields, unknown_bytes, unread_fields

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto, NodeProto

ONNX_DOMAINS = ("", "ai.onnx")
WORDS: Final = frozenset({"name", "doc_string", "metadata_props"})
# A message says its value in one of these.
VALUES: Final[Fields] = {
    "AttributeProto": frozenset({"f", "i", "s", "t", "floats", "ints", "strings"}),
    "TensorProto": frozenset(
        {"raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"}
    ),
}
# Fields that are read here, and those that neither describe nor compute anything (onnx.proto).
READ: Final[Fields] = {
    "ModelProto": WORDS
    | {"ir_version", "opset_import", "producer_name", "producer_version", "domain"}
    | {"model_version", "graph"},
    "GraphProto": WORDS | {"node", "initializer", "input", "output", "value_info"},
    "NodeProto": WORDS | {"op_type", "domain", "input", "output", "attribute"},
    "AttributeProto": WORDS | VALUES["AttributeProto"] | {"type"},
    "TensorProto": WORDS | VALUES["TensorProto"] | {"dims", "data_type", "data_location"},
}


def read_graph(path: Path) -> Graph:
    """Raises Unreadable: not an ONNX file, one with more than one input, or with anything else."""
    from onnx import ModelProto

    content = path.read_bytes()
    try:
        model = ModelProto.FromString(content)
    except Exception as error:  # protobuf's errors share no base
        raise Unreadable(f"onnx cannot read {path.name}: {error}") from error
    if more := len(content) - model.ByteSize():
        raise Unreadable(f"{path.name} has {more} bytes that say nothing, or say it twice")
    return graph_of(model)


def graph_of(model: ModelProto) -> Graph:
    """The same of a model in memory."""
    from onnx import helper, numpy_helper

    if left := next(unread_fields(model, READ, VALUES), None):
        raise Unreadable(f"the file has {left}, which no part of a network is")
    if more := unknown_bytes(model):
        raise Unreadable(f"the file has {more} bytes of fields that ONNX does not know")
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
