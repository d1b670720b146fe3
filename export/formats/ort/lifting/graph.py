"""The graph of an ORT file, as one of ONNX is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from export.errors import CannotRunHere
from export.formats.onnx.lifting.graph import Graph, Node
from export.formats.ort.node_order import in_order

# onnx.TensorProto.DataType
TYPES: Final = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
}
# onnx.AttributeProto.AttributeType -> how it is read
SCALARS: Final[Mapping[int, Callable[[Any], Any]]] = {
    1: lambda attribute: attribute.F(),
    2: lambda attribute: attribute.I(),
    3: lambda attribute: attribute.S().decode(),
    6: lambda attribute: [attribute.Floats(i) for i in range(attribute.FloatsLength())],
    7: lambda attribute: [attribute.Ints(i) for i in range(attribute.IntsLength())],
}


def graph_of(root: Any) -> Graph:
    """The graph of a flatbuffer's root.

    Raises:
        CannotRunHere: an initializer or attribute of a type that is not known here.
        Unreadable: the nodes depend on each other in a cycle.
    """
    model = root.Model()
    graph = model.Graph()
    args = {a.Name(): a for a in (graph.NodeArgs(i) for i in range(graph.NodeArgsLength()))}
    constants = {}
    for i in range(graph.InitializersLength()):
        tensor = graph.Initializers(i)
        constants[tensor.Name().decode()] = _array(tensor)
    (name,) = (
        graph.Inputs(i)
        for i in range(graph.InputsLength())
        if graph.Inputs(i).decode() not in constants
    )
    dtype, shape = _tensor_type(args[name])
    opsets = (model.OpsetImport(i) for i in range(model.OpsetImportLength()))
    (opset,) = (o.Version() for o in opsets if o.Domain() in (None, b"", b"ai.onnx"))
    return Graph(
        nodes=tuple(_node(node) for node in in_order(graph)),
        constants=constants,
        input=name.decode(),
        input_type=dtype,
        input_shape=shape,
        outputs=tuple(graph.Outputs(i).decode() for i in range(graph.OutputsLength())),
        opset=opset,
    )


def _array(tensor: Any) -> Any:
    name, dtype = tensor.Name().decode(), TYPES.get(tensor.DataType())
    if dtype is None:
        raise CannotRunHere(f"the initializer {name} has type {tensor.DataType()}, not known here")
    values = tensor.RawDataAsNumpy()
    shape = tuple(tensor.DimsAsNumpy()) if tensor.DimsLength() else ()
    if isinstance(values, int):  # an empty tensor
        return np.zeros(shape or (0,), dtype)
    return values.view(dtype).reshape(shape)


def _tensor_type(argument: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs import TensorTypeAndShape

    table = argument.Type().Value()
    found = TensorTypeAndShape.TensorTypeAndShape()
    found.Init(table.Bytes, table.Pos)
    dims = found.Shape()
    shape = tuple(int(dims.Dim(i).Value().DimValue()) for i in range(dims.DimLength()))
    return np.dtype(TYPES[found.ElemType()]), shape


def _node(node: Any) -> Node:
    domain, operation = (node.Domain() or b"").decode(), node.OpType().decode()
    attributes = {}
    for i in range(node.AttributesLength()):
        attribute = node.Attributes(i)
        name = attribute.Name().decode()
        if attribute.Type() not in SCALARS:
            raise CannotRunHere(f"operation {operation} of ORT with {name} is not known here")
        attributes[name] = SCALARS[attribute.Type()](attribute)
    return Node(
        operation=operation if domain in ("", "ai.onnx") else f"{domain}.{operation}",
        name=(node.Name() or b"").decode(),
        inputs=tuple(node.Inputs(i).decode() for i in range(node.InputsLength())),
        outputs=tuple(node.Outputs(i).decode() for i in range(node.OutputsLength())),
        attributes=attributes,
    )
