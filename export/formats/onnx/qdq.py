"""int8 arithmetic in an ONNX file: integer weights and biases next to quantised activations.

In: the graph of an int8 variant, in which activations pass through QuantizeLinear and
DequantizeLinear already and weights are fp32. Out: the QDQ form that every onnxruntime since 1.8
turns into integer kernels: int8 weights, a scale per output channel, and int32 biases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import ConversionFailed
from export.formats.onnx.graph_editor import PRODUCT, Editor
from export.formats.onnx.packed_weights import take_grid, unpack

FUSED: Final = ("Relu", "Clip")  # into the rounding of the layer before them
ROUNDINGS: Final = ("QuantizeLinear", "DequantizeLinear")
MOVING: Final = ("Reshape", "Transpose")  # onnxruntime moves roundings across these
# Its integer operations ask for scales without an axis (a sum stays in floating point otherwise, a
# convolution before a Clip too, and an average cannot be loaded), but for these, which take either.
# Files of these alone keep the shape that torch's exporter writes, and so their bytes.
WITH_AXES: Final = ("Conv", "MaxPool", "Concat", "Sub", "Div", *MOVING)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from pipeline.quantization_grid import Grid


def drop_axes(model: ModelProto) -> bool:
    """Give scales and zero points of activations the shape (), if an operation asks for that.

    In place, as torch exported it: onnxruntime runs it before weights are integers.

    Returns:
        Whether one does.
    """
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    roundings = [node for node in graph.node if node.op_type in ROUNDINGS]
    rounded = {_rounded_operation(made_by, n) for n in roundings if n.op_type == ROUNDINGS[0]}
    if rounded <= {*WITH_AXES}:
        return False
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for rounding in roundings:
        for name in rounding.input[1:]:
            while name in made_by and made_by[name].op_type == "Identity":
                name = made_by[name].input[0]
            tensor = stored[name] if name in stored else made_by[name].attribute[0].t
            del tensor.dims[:]
    return True


def _rounded_operation(made_by: Mapping[str, NodeProto], rounding: NodeProto) -> str:
    """The type of what is rounded; a Relu is none, since the codes begin at zero."""
    source = made_by.get(rounding.input[0])
    if source is not None and source.op_type == "Relu":
        source = made_by.get(source.input[0])
    return source.op_type if source is not None else ""


def store_integers(model: ModelProto, grids: Mapping[str, Grid]) -> None:
    """Replace fp32 weights and biases by integers, in place.

    A layer with an output that is not quantised stays in fp32, with weights that fold at load.

    Raises:
        ConversionFailed: a weight is on no grid, or a bias is not a multiple of its step.
    """
    editor = Editor(model)
    waiting = list(grids.values())
    for layer in editor.layers():
        weight = editor.weight_of(layer)
        grid = take_grid(waiting, editor.value(weight), layer.name)
        source = _rounding_before(editor, layer.input[0])
        bias = editor.bias_of(layer)
        result = bias[0] if bias is not None else layer
        if source is None or not _is_rounded(editor, result.output[0]):
            unpack(editor, {weight: grid}, grid.levels)
            continue
        if layer.op_type == PRODUCT:
            turned = np.ascontiguousarray(grid.codes.T)
            editor.place(layer, 1, _dequantised(editor, turned, grid.scale, axis=1))
        else:
            editor.place(layer, 1, _dequantised(editor, grid.codes, grid.scale))
        if bias is not None:
            holder, place = bias
            input_scale = editor.value(source.input[1]).astype(np.float64)
            step = (input_scale * grid.scale).astype(np.float32)
            codes = _multiples(editor.value(holder.input[place]), step, layer.name)
            editor.place(holder, place, _dequantised(editor, codes, step))
    _hold_layout(editor)
    editor.finish()


def _rounding_before(editor: Editor, value: str) -> NodeProto | None:
    """The node that a value comes from as the numbers of a grid, moved at most."""
    node = editor.producer(value)
    while node is not None and node.op_type in MOVING:
        node = editor.producer(node.input[0])
    return node if node is not None and node.op_type == "DequantizeLinear" else None


def _is_rounded(editor: Editor, value: str) -> bool:
    """Whether all that reads a value rounds it, moved at most."""
    readers = [node for node in editor.model.graph.node if value in node.input]
    return bool(readers) and all(
        node.op_type in ("QuantizeLinear", *FUSED)
        or (node.op_type in MOVING and _is_rounded(editor, node.output[0]))
        for node in readers
    )


def _hold_layout(editor: Editor) -> None:
    """Keep the normalisation in NCHW, where it processes whole planes.

    Integer convolutions are NHWC, and onnxruntime moves the change of layout up to the input,
    through all element-wise operations. Subtracting three means from interleaved pixels takes it 15
    times as long (measured); it does not move a layout through a reshape.
    """
    graph = editor.model.graph
    # A mean of zero is not subtracted: then the division comes first.
    first = next(node for node in graph.node if node.op_type in ("Sub", "Div"))
    last = next(node for node in graph.node if node.op_type == "QuantizeLinear")
    source = editor.producer(last.input[0])
    if source is None or source.op_type not in ("Sub", "Div"):
        return  # the first layer is in floating point
    shape = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]  # (1, H, W, 3)
    planes = editor.constant(np.array([1, 3, shape[1] * shape[2], 1]))
    editor.insert(first, "Reshape", planes)
    editor.insert(last, "Reshape", editor.constant(np.array([1, 3, shape[1], shape[2]])))


def _dequantised(
    editor: Editor, codes: NDArray[Any], scale: NDArray[np.float32], axis: int = 0
) -> str:
    zero_points = np.zeros(len(scale), codes.dtype)
    names = [editor.constant(value) for value in (codes, scale, zero_points)]
    return editor.node("DequantizeLinear", *names, axis=axis)


def _multiples(
    bias: NDArray[np.float32], step: NDArray[np.float32], layer: str
) -> NDArray[np.int32]:
    """The integers whose product with `step` is `bias`."""
    codes = np.round(bias.astype(np.float64) / step).astype(np.int32)
    if not np.array_equal(codes.astype(np.float32) * step, bias):
        raise ConversionFailed(f"the bias of {layer} is no multiple of input scale x weight scale")
    return codes
