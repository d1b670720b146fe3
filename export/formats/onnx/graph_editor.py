"""Rewriting an ONNX graph: constants and nodes in, initializers out, short names at the end.

The long names from torch's exporter are half of what is not weights in a small file: 10 KB of the
19 KB in a 3-bit SqueezeNet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto

LAYER_KINDS: Final = {"Conv": "conv", "Gemm": "linear"}  # whose weights can be stored small
PRODUCT: Final = "MatMul"  # of a linear layer on more than two axes, or without a bias
# A batch norm stays in fp32: its variance may be outside the range of fp16.
KINDS: Final = {**LAYER_KINDS, "BatchNormalization": "batch_norm"}
EPSILON: Final = 1e-5  # unless the node has another; ONNX, Operators.md
PREFIX: Final = "pixels.network."  # torch's exporter puts it before the weights' names


@dataclass
class Editor:
    """A graph being rewritten; nodes that `node` adds go before all others.

    Attributes:
        model: an onnx.ModelProto, changed in place by `finish`.
    """

    model: ModelProto
    added: list[NodeProto] = field(default_factory=list)
    constants: dict[bytes, str] = field(default_factory=dict)
    replaced: dict[str, str] = field(default_factory=dict)
    placed: dict[tuple[str, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stored = {tensor.name: tensor for tensor in self.model.graph.initializer}

    def layers(self) -> list[NodeProto]:
        """The nodes of convolutions and of products with a stored matrix, in graph order."""
        return [
            node
            for node in self.model.graph.node
            if node.op_type in LAYER_KINDS
            or (node.op_type == PRODUCT and self.weight_of(node) in self.stored)
        ]

    def weight_of(self, layer: NodeProto) -> str:
        """The name of a layer's weight, a row for each output; a product takes it transposed."""
        turned = self.producer(layer.input[1]) if layer.op_type == PRODUCT else None
        return str(turned.input[0] if turned is not None else layer.input[1])

    def bias_of(self, layer: NodeProto) -> tuple[NodeProto, int] | None:
        """Where a layer's bias is an input: its own, or of the sum after a product."""
        if layer.op_type != PRODUCT:
            return (layer, 2) if len(layer.input) > 2 else None
        readers = [node for node in self.model.graph.node if layer.output[0] in node.input]
        if len(readers) != 1 or readers[0].op_type != "Add":
            return None
        for place, name in enumerate(readers[0].input):
            if name in self.stored and len(self.stored[name].dims) == 1:
                return readers[0], place
        return None

    def producer(self, name: str) -> NodeProto | None:
        """The node that outputs the value `name`; None for inputs and initializers."""
        return next((node for node in self.model.graph.node if name in node.output), None)

    def value(self, name: str) -> NDArray[Any]:
        """An initializer as an array."""
        from onnx import numpy_helper

        return np.asarray(numpy_helper.to_array(self.stored[name]))

    def constant(self, value: NDArray[Any]) -> str:
        """The name of an initializer with this value; equal ones are stored once."""
        from onnx import numpy_helper

        key = repr((value.dtype.str, value.shape)).encode() + value.tobytes()
        if key not in self.constants:
            self.constants[key] = f"constant{len(self.constants)}"
            tensor = numpy_helper.from_array(value, self.constants[key])
            self.model.graph.initializer.append(tensor)
        return self.constants[key]

    def node(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        return self.nodes(operation, inputs, 1, **attributes)[0]

    def nodes(
        self, operation: str, inputs: tuple[str, ...], outputs: int, **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; return their names."""
        from onnx import helper

        first = sum(len(node.output) for node in self.added)
        names = [f"unpacked{first + i}" for i in range(outputs)]
        self.added.append(helper.make_node(operation, inputs, names, **attributes))
        return names

    def cast(self, value: str, dtype: type[np.generic]) -> str:
        """Add a conversion to a numpy type."""
        from onnx import helper

        return self.node("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def replace(self, name: str, by: str) -> None:
        """Replace the initializer `name` by `by` everywhere, and remove it."""
        self.replaced[name] = by

    def place(self, node: NodeProto, argument: int, by: str) -> None:
        """Replace one input of one node by `by`; other nodes may keep the previous one."""
        self.placed[node.output[0], argument] = by

    def insert(self, before: NodeProto, operation: str, *more: str) -> None:
        """Put a node between the node `before` and its first input; `more` are its other inputs."""
        from onnx import helper

        name = f"inserted{len(self.model.graph.node)}"
        made = helper.make_node(operation, [before.input[0], *more], [name])
        before.input[0] = name
        place = list(self.model.graph.node).index(before)
        self.model.graph.node.insert(place, made)

    def finish(self) -> None:
        """Write all changes into the model."""
        graph = self.model.graph
        _name_layers([node for node in graph.node if node.op_type in KINDS])
        for node in graph.node:
            for i, name in enumerate(node.input):
                place = (node.output[0], i)
                node.input[i] = self.placed.get(place, self.replaced.get(name, name))
        nodes = [*self.added, *graph.node]
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:], graph.node[:]
        del graph.value_info[:]  # shapes, which every reader infers again
        graph.initializer.extend(kept)
        graph.node.extend(nodes)
        _shorten(graph)


def with_rows_of_outputs(model: ModelProto, products: bool) -> None:
    """Store the weight of every Gemm as (O, I), as torch does; some are exported as (I, O).

    Args:
        products: likewise that of every product, before a Transpose, which folds at load.
    """
    from onnx import helper, numpy_helper

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in node.input)
    before: list[NodeProto] = []
    for node in model.graph.node:
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        wanted = ("Gemm", PRODUCT) if products else ("Gemm",)
        if node.op_type not in wanted or turned or node.input[1] not in stored:
            continue
        weight = stored[node.input[1]]
        if readers[weight.name] > 1 or len(weight.dims) != 2:
            continue
        rows = np.ascontiguousarray(numpy_helper.to_array(weight).T)
        weight.CopyFrom(numpy_helper.from_array(rows, weight.name))
        if node.op_type == PRODUCT:
            node.input[1] = f"{weight.name}.turned"
            before.append(helper.make_node("Transpose", [weight.name], [node.input[1]]))
            continue
        kept = [attribute for attribute in node.attribute if attribute.name != "transB"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("transB", 1)])
    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def epsilon_of(node: NodeProto) -> dict[str, NDArray[np.float32]]:
    """The tensor of a `Layer` that a batch norm has as an attribute; none for other nodes."""
    if node.op_type not in KINDS or KINDS[node.op_type] != "batch_norm":
        return {}
    given = [attribute.f for attribute in node.attribute if attribute.name == "epsilon"]
    return {"epsilon": np.array([*given, EPSILON][0], np.float32)}


def _name_layers(layers: list[NodeProto]) -> None:
    """Name each layer as in the network, after its weight; names must be unique."""
    names = [layer.input[1].removeprefix(PREFIX).removesuffix(".weight") for layer in layers]
    for i, (layer, name) in enumerate(zip(layers, names, strict=True)):
        layer.name = name if names.count(name) == 1 else f"{name}.{i}"


def _shorten(graph: GraphProto) -> None:
    """Values get numbers as names; only the nodes of layers keep a name, for people."""
    kept = {port.name: port.name for port in (*graph.input, *graph.output)}
    names: dict[str, str] = {"": "", **kept}

    def short(name: str) -> str:
        return names.setdefault(name, f"{len(names):x}")

    for node in graph.node:
        _rename(node.input, short)
        _rename(node.output, short)
        if node.op_type not in KINDS:
            node.name = ""
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)


def _rename(places: Any, short: Any) -> None:
    for i, name in enumerate(places):
        places[i] = short(name)


def constant_values(model: ModelProto, wanted: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Values that depend on constants alone, computed by onnxruntime as at load.

    Args:
        model: an onnx.ModelProto.
        wanted: key of the result -> name in the graph.

    Raises:
        KeyError: a value is not in the graph, or depends on the input.
    """
    import onnx
    import onnxruntime

    known = {tensor.name for tensor in model.graph.initializer} | {""}
    nodes = []
    for node in model.graph.node:
        if all(name in known for name in node.input):
            nodes.append(node)
            known.update(node.output)
    missing = [name for name in wanted.values() if name not in known]
    if missing:
        raise KeyError(missing[0])
    names = list(dict.fromkeys(wanted.values()))
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    graph = onnx.helper.make_graph(
        nodes, "constants", [], outputs, initializer=model.graph.initializer
    )
    part = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        part.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    values = dict(zip(names, session.run(names, {}), strict=True))
    return {key: values[name] for key, name in wanted.items()}
