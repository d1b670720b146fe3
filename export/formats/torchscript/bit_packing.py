"""Weights in few bits: all layers of a network as three arrays and a table of integers.

A weight on a grid of L levels is a digit in base 2L+1, and a 64-bit word holds as many digits as
fit below 2**63: 22 of 3 bits (2.9 bits a weight), 16 of 4 bits, 7 of 8 bits. A scale has 8
significant bits (`pipeline.quantization_grid`), which is what a bfloat16 has. A bias, or a weight
on no grid, is a half float. Every entry of an archive costs a few hundred bytes, so all layers
share the arrays.

The lite interpreter unpacks them when it loads a file (`unpack_at_load`); the proof unpacks
them here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from export.deploy.layers import Layer
from export.errors import ConversionFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.quantization_grid import Grid

WORD_LIMIT: Final = 2**63


@dataclass(frozen=True)
class PackedLayer:
    """One layer in the table, as the file stores it.

    Attributes:
        levels: of the grid; 0: the weight is half floats.
        outputs, inputs, height, width: the weight's shape; height and width are 0 if linear.
        stride_y, ..., groups: of a convolution.
        clamp: what follows it: -1 nothing, 0 ReLU, n > 0 ReLU limited to n.
        normalises: 1 if the pixel normalisation becomes part of it at load.
    """

    levels: int
    outputs: int
    inputs: int
    height: int = 0
    width: int = 0
    stride_y: int = 1
    stride_x: int = 1
    padding_y: int = 0
    padding_x: int = 0
    dilation_y: int = 1
    dilation_x: int = 1
    groups: int = 1
    clamp: int = -1
    normalises: int = 0

    @property
    def is_conv(self) -> bool:
        """Whether it is a convolution; otherwise a linear layer."""
        return self.height > 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        spatial = (self.height, self.width) if self.is_conv else ()
        return (self.outputs, self.inputs, *spatial)


class Packed(NamedTuple):
    """The arrays of one layer or of several, one after the other.

    Attributes:
        words: int64: the codes of weights on a grid.
        scales: their scales, float32 of 8 significant bits; bfloat16 in the file.
        halves: float16: each layer's weight, if on no grid, and its bias.
    """

    words: NDArray[np.int64]
    scales: NDArray[np.float32]
    halves: NDArray[np.float16]


def pack_layer(
    weight: NDArray[np.float32], bias: NDArray[np.float32] | None, grid: Grid | None
) -> Packed:
    """Pack one layer: the codes of its grid if it has one, else half floats.

    Raises:
        ConversionFailed: the weight does not match its grid, or a number is out of range.
    """
    bias = np.zeros(len(weight), np.float32) if bias is None else bias
    if grid is None:
        halves = np.concatenate([_halves(weight), _halves(bias)])
        return Packed(np.zeros(0, np.int64), np.zeros(0, np.float32), halves)
    largest = int(np.abs(grid.codes.astype(np.int16)).max(initial=0))
    if largest > grid.levels:
        raise ConversionFailed(f"code {largest} does not fit a grid of {grid.levels} levels")
    if not np.array_equal(grid.weights(), weight):
        raise ConversionFailed("its weight is not codes times scale of its grid")
    if (grid.scale.view(np.uint32) & 0xFFFF).any():
        raise ConversionFailed("a scale has more significant bits than a bfloat16")
    halves = _halves(bias)
    if not np.array_equal(halves.astype(np.float32), bias):
        raise ConversionFailed("its bias is not exact in half floats; compress again")
    return Packed(_pack_codes(grid.codes, grid.levels), grid.scale, halves)


def unpack_layers(packed: Packed, table: Iterable[Sequence[int]]) -> list[Layer]:
    """The layers in the arrays.

    Weights on a grid come as float32 codes x scale, with their biases; others as stored, float16.

    Raises:
        ValueError: table and arrays do not match.
    """
    words, scales, halves = (_Reader(array) for array in packed)
    layers = []
    for number, entries in enumerate(table):
        row = PackedLayer(*entries)
        count = math.prod(row.shape)
        tensors: dict[str, Any] = {}
        if row.levels:
            found = words.take(-(-count // digits_in_word(row.levels)))
            codes = _unpack_codes(found, row.levels)[:count].reshape(row.outputs, -1)
            weight = codes.astype(np.float32) * scales.take(row.outputs)[:, None]
            tensors["weight"] = weight.reshape(row.shape)
            tensors["bias"] = halves.take(row.outputs).astype(np.float32)
        else:
            tensors["weight"] = halves.take(count).reshape(row.shape)
            tensors["bias"] = halves.take(row.outputs)
        layer = Layer("conv" if row.is_conv else "linear", f"packed layer {number}", tensors)
        layers.append(scale_if_depthwise(layer, row.groups))
    if words.rest.size or scales.rest.size or halves.rest.size:
        raise ValueError("the arrays contain more than their table lists")
    return layers


def scale_if_depthwise(layer: Layer, groups: int) -> Layer:
    """A depthwise 1x1 convolution, which stores a batch norm here, as a scale; others unchanged."""
    if layer.kind != "conv" or groups == 1 or layer.shape != (groups, 1, 1, 1):
        return layer
    return Layer("scale", layer.name, {k: v.reshape(-1) for k, v in layer.tensors.items()})


def join(parts: Sequence[Packed]) -> Packed:
    """Several layers as one."""
    return Packed(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def table_of(rows: Iterable[PackedLayer]) -> list[list[int]]:
    """The rows as the file stores them."""
    return [list(astuple(row)) for row in rows]


def digits_in_word(levels: int) -> int:
    """How many codes of -levels..levels fit into a word."""
    digits = 1
    while (2 * levels + 1) ** (digits + 1) < WORD_LIMIT:
        digits += 1
    return digits


def _pack_codes(codes: NDArray[np.int8], levels: int) -> NDArray[np.int64]:
    digits = digits_in_word(levels)
    flat = codes.reshape(-1).astype(np.int64) + levels
    columns = np.pad(flat, (0, -flat.size % digits)).reshape(-1, digits)  # (words, digits)
    return np.asarray(columns @ _powers(levels), np.int64)


def _unpack_codes(words: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    columns = words[:, None] // _powers(levels) % (2 * levels + 1)  # (words, digits)
    return np.asarray(columns.reshape(-1) - levels, np.int64)


def _powers(levels: int) -> NDArray[np.int64]:
    powers = [(2 * levels + 1) ** digit for digit in range(digits_in_word(levels))]
    return np.asarray(powers, np.int64)


def _halves(values: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        halves = values.reshape(-1).astype(np.float16)
    if not np.isfinite(halves).all():
        raise ConversionFailed(f"{np.abs(values).max():.3g} does not fit a half float")
    return halves


class _Reader:
    """Reads values from the front of an array."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.rest = array

    def take(self, count: int) -> NDArray[Any]:
        if count > self.rest.size:
            raise ValueError(f"the table needs {count} values, {self.rest.size} are left")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken
