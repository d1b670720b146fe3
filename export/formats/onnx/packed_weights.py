"""Weights stored small in an ONNX file, unpacked by plain operators that fold at load.

In: a simplified graph with fp32 weights. Out: the same graph, its weights computed from constants
by operators of opset 17 alone. onnxruntime folds what depends on constants when it loads a file, by
its default options; so the file is small, needs no newer runtime than an fp32 one, and is as fast.

Codes of -L..L are digits of base 2L+1, as many per integer as fit: two of 15 levels in a uint8,
eleven of 7 levels in an int32 (2.91 bits each). Layers with the same base share one constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.errors import ConversionFailed
from export.formats.onnx.graph_editor import Editor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    from pipeline.quantization_grid import Grid

CONTAINERS: Final[Mapping[np.dtype[Any], int]] = {
    np.dtype(np.uint8): 2**8,
    np.dtype(np.int32): 2**31,
}


@dataclass(frozen=True)
class Digits:
    """How codes are packed into integers.

    Attributes:
        dtype: of the integers.
        base: of the digits; a digit is code + levels.
        count: digits in each integer, the lowest first.
    """

    dtype: np.dtype[Any]
    base: int
    count: int


def digits_for(levels: int) -> Digits:
    """The container with the fewest bits per code; on a tie the smaller."""
    base = 2 * levels + 1
    fitting = []
    for dtype, limit in CONTAINERS.items():
        count = 0
        while base ** (count + 1) <= limit:
            count += 1
        if count:
            fitting.append((dtype.itemsize / count, dtype.itemsize, Digits(dtype, base, count)))
    return min(fitting, key=lambda choice: choice[:2])[2]


def pack(codes: NDArray[np.int8], levels: int) -> NDArray[Any]:
    """Codes (n,) as integers (m, 1); unused digits of the last one are zeros."""
    digits = digits_for(levels)
    flat = codes.reshape(-1).astype(np.int64) + levels
    padded = np.concatenate([flat, np.zeros(-len(flat) % digits.count, np.int64)])
    powers = digits.base ** np.arange(digits.count, dtype=np.int64)
    return (padded.reshape(-1, digits.count) @ powers).astype(digits.dtype).reshape(-1, 1)


def store_grids(model: ModelProto, grids: Mapping[str, Grid]) -> None:
    """Replace the weights on `grids` by codes and scales, the biases by fp16, in place.

    Raises:
        ConversionFailed: a weight is on no grid, or a bias is not exact in fp16.
    """
    editor = Editor(model)
    waiting = list(grids.values())
    found: dict[str, Grid] = {}
    for layer in editor.layers():
        name = editor.weight_of(layer)
        found[name] = take_grid(waiting, editor.value(name), layer.name)
    for levels in sorted({grid.levels for grid in found.values()}):
        unpack(editor, {n: g for n, g in found.items() if g.levels == levels}, levels)
    for layer in editor.layers():
        for name in _biases(editor, layer):
            value = editor.value(name)
            if not np.array_equal(value, value.astype(np.float16).astype(np.float32)):
                raise ConversionFailed(f"the bias of {layer.name} is not exact in fp16")
            _halve(editor, name)
    editor.finish()


def store_halves(model: ModelProto) -> None:
    """Replace weights and biases by their rounding to fp16, in place."""
    editor = Editor(model)
    for layer in editor.layers():
        for name in (editor.weight_of(layer), *_biases(editor, layer)):
            _halve(editor, name)
    editor.finish()


def _biases(editor: Editor, layer: NodeProto) -> list[str]:
    """The name of a layer's bias, if it has one."""
    bias = editor.bias_of(layer)
    return [bias[0].input[bias[1]]] if bias is not None else []


def take_grid(waiting: list[Grid], weight: NDArray[np.float32], layer: str) -> Grid:
    """The grid with exactly these weights, removed from `waiting`.

    Raises:
        ConversionFailed: there is none.
    """
    for i, grid in enumerate(waiting):
        if grid.codes.shape == weight.shape and np.array_equal(grid.weights(), weight):
            return waiting.pop(i)
    raise ConversionFailed(f"the weight of {layer} {weight.shape} lies on none of the grids")


def unpack(editor: Editor, grids: Mapping[str, Grid], levels: int) -> None:
    """One constant for all layers with these levels; for each a slice, its shape and its scale.

    Args:
        editor: of the graph.
        grids: name of the initializer that it replaces -> grid.
        levels: of these grids.
    """
    digits = digits_for(levels)
    codes = np.concatenate([grid.codes.reshape(-1) for grid in grids.values()])
    values = editor.constant(pack(codes, levels))
    if digits.count > 1:
        powers = digits.base ** np.arange(digits.count, dtype=np.int64)
        if digits.dtype != np.int32:
            values = editor.cast(values, np.int32)
        values = editor.node("Div", values, editor.constant(powers.astype(np.int32)))
        values = editor.node("Mod", values, editor.constant(np.array(digits.base, np.int32)))
    values = editor.node("Reshape", values, editor.constant(np.array([-1])))
    values = editor.cast(values, np.float32)
    values = editor.node("Sub", values, editor.constant(np.array(levels, np.float32)))
    sizes = [grid.codes.size for grid in grids.values()]
    spare = -len(codes) % digits.count
    parts = _split(editor, values, [*sizes, spare] if spare else sizes)
    for part, (name, grid) in zip(parts, grids.items(), strict=False):
        shaped = editor.node("Reshape", part, editor.constant(np.array(grid.codes.shape)))
        scale = editor.constant(grid.scale_like(grid.codes).astype(np.float16))
        editor.replace(name, editor.node("Mul", shaped, editor.cast(scale, np.float32)))


def _split(editor: Editor, values: str, sizes: list[int]) -> list[str]:
    if len(sizes) == 1:
        return [values]
    return editor.nodes("Split", (values, editor.constant(np.array(sizes))), len(sizes), axis=0)


def _halve(editor: Editor, name: str) -> None:
    half = editor.constant(editor.value(name).astype(np.float16))
    editor.replace(name, editor.cast(half, np.float32))
