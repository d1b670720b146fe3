"""The graph of an ORT file, lifted as one of ONNX is; and the operations that onnxruntime fuses.

Its optimiser has folded constants, removed what does nothing, and put activations, sums and factors
into the layer before them (onnxruntime, docs/ContribOperators.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from torch import fx

from export.errors import CannotRunHere
from export.formats.onnx.lifting.call import Call, Entry, Result
from export.formats.onnx.lifting.entries import ENTRIES
from export.formats.onnx.lifting.graph import Graph, Node
from export.formats.onnx.lifting.layers import conv, gemm
from export.formats.ort.node_order import in_order
from pipeline.program.arithmetic_rules import clamped
from pipeline.program.builder import Builder
from pipeline.program.shape_rules import transposed

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


def fused(layer: Entry) -> Entry:
    """An entry for a layer with a summand and an activation after it."""

    def entry(call: Call) -> Result:
        made: Any = layer(call)
        if layer is conv and call.has(3):
            made = call.build.add("add.Tensor", made, call.value(3))
        name = call.attribute("activation", "")
        numbers = call.attribute("activation_params", [])
        numbers += [
            call.attribute(f"activation_{key}")
            for key in ("alpha", "beta", "gamma")
            if f"activation_{key}" in call.node.attributes
        ]
        return _activated(call, made, name, numbers)

    return entry


def _activated(call: Call, x: fx.Node, name: str, numbers: list[float]) -> fx.Node:
    if name == "":
        return x
    if name in ("Relu", "Sigmoid", "Tanh"):
        return call.build.add(name.lower(), x)
    if name == "Clip":
        return clamped(call.build, x, *numbers)
    if name == "LeakyRelu":
        return call.build.add("leaky_relu", x, *numbers)
    if name == "HardSigmoid" and abs(numbers[0] - 1 / 6) < 1e-6 and numbers[1] == 0.5:
        return call.build.add("hardsigmoid", x)
    raise call.unknown(f"with activation {name} {numbers}")


def gelu(call: Call) -> Result:
    """By the error function."""
    return call.build.add("gelu", call.x, approximate="none")


def gelu_of_sum(call: Call) -> Result:
    """Of a sum with a bias."""
    total = call.build.add("add.Tensor", call.x, call.inputs[1])
    return call.build.add("gelu", total, approximate="none")


def gated(call: Call) -> Result:
    """X sigmoid(alpha x)."""
    alpha = call.attribute("alpha", 1.702)
    if alpha == 1:
        return call.build.add("silu", call.x)
    inside = call.build.add("mul.Tensor", call.x, alpha)
    return call.build.add("mul.Tensor", call.x, call.build.add("sigmoid", inside))


def matmul(call: Call) -> Result:
    """Alpha A B, each turned if that is told."""
    call.only("transBatchA", 0)
    call.only("transBatchB", 0)
    build: Builder = call.build
    sides = [
        transposed(build, call.value(i), -2, -1) if call.attribute(key, 0) else call.value(i)
        for i, key in enumerate(("transA", "transB"))
    ]
    product = build.add("matmul", *sides)
    alpha = call.attribute("alpha", 1.0)
    return product if alpha == 1 else build.add("mul.Tensor", product, alpha)


FUSED: Final[Mapping[str, Entry]] = {
    **ENTRIES,
    "com.microsoft.BiasGelu": gelu_of_sum,
    "com.microsoft.FusedConv": fused(conv),
    "com.microsoft.FusedGemm": fused(gemm),
    "com.microsoft.FusedMatMul": matmul,
    "com.microsoft.Gelu": gelu,
    "com.microsoft.QuickGelu": gated,
}
