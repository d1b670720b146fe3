"""Integer kernels as what they compute: an operation on numbers of a grid, rounded to a grid.

They are those of onnxruntime (docs/ContribOperators.md): a kernel is told what its codes stand for,
input by input, and rounds its own result. Weights and biases come out as the numbers of float32
that their integers stand for. Kernels of planes take channels last where they are told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from torch import Tensor, fx

from export.errors import Unreadable
from export.formats.onnx.lifting import layers, pools
from export.formats.onnx.lifting.call import Call, Entry, Grid, Result, Value
from export.formats.onnx.lifting.codes import coded, grid_of, numbers_of
from pipeline.program.shape_rules import joined, permuted

FIRST: Final = [0, 3, 1, 2]  # channels, from last
LAST: Final = [0, 2, 3, 1]


def conv(call: Call) -> Result:
    """X and its grid, weights and theirs, the result's grid, biases as multiples of both steps."""
    grid = grid_of(call, 1, 2)
    weight, steps = _weight(call, axis=0)
    bias = _bias(call.tensor(8), steps, grid)
    inputs: list[Value | None] = [numbers_of(call, 0, grid), weight, bias]
    return coded(call, _with_channels_first(call, layers.conv, inputs), grid_of(call, 6, 7))


def gemm(call: Call) -> Result:
    """The same of matrices; numbers where the result has no grid."""
    call.only("alpha", 1.0)
    call.only("transA", 0)
    grid = grid_of(call, 1, 2)
    turned = bool(call.attribute("transB", 0))
    weight, steps = _weight(call, axis=0 if turned else 1)
    matrix = weight if turned else weight.t().contiguous()
    bias = _bias(layers.of_columns(call, call.tensor(6), len(matrix)), steps, grid)
    found = call.build.add("linear", numbers_of(call, 0, grid), matrix, bias)
    return coded(call, found, grid_of(call, 7, 8)) if call.has(7) else found


def _weight(call: Call, axis: int) -> tuple[Tensor, Tensor]:
    """From codes, scales and zero points, along an axis if there are several; and the scales."""
    codes, scales, points = (call.required(place) for place in (3, 4, 5))
    along = [-1 if i == axis else 1 for i in range(codes.dim())]
    numbers = codes.int() - points.reshape(along).int()
    return numbers.float() * scales.reshape(along), scales.reshape(-1)


def _bias(codes: Tensor | None, steps: Tensor, grid: Grid) -> Tensor | None:
    return None if codes is None else codes.float() * (steps.double() * grid.scale).float()


def of_one(entry: Entry) -> Entry:
    """An operation on one input: X and its grid, the result's grid."""

    def kernel(call: Call) -> Result:
        numbers = numbers_of(call, 0, grid_of(call, 1, 2))
        return coded(call, _with_channels_first(call, entry, [numbers]), grid_of(call, 3, 4))

    return kernel


def average_of_whole_windows(call: Call) -> Result:
    """The mean of each window; one over the end is divided by the whole window, as nowhere else.

    Raises:
        CannotRunHere: there is such a window, and padding counts.
    """
    window, step = call.attribute("kernel_shape"), call.attribute("strides", [1, 1])
    pads = layers.around(call, window, step, [1, 1])
    lengths = map(sum, zip(call.shape()[2:], pads[:2], pads[2:], strict=True))
    rest = [(n - k) % s for n, k, s in zip(lengths, window, step, strict=True)]
    over = bool(call.attribute("ceil_mode", 0)) and any(rest)
    if over and call.attribute("count_include_pad", 0):
        raise call.unknown("with ceil_mode and count_include_pad")
    return pools.average_pool(call)


def of_two(operation: str) -> Entry:
    """A sum or a product: A and its grid, B and its grid, the result's grid."""

    def kernel(call: Call) -> Result:
        sides = [_side(call, place) for place in (0, 3)]
        return coded(call, call.build.add(operation, *sides), grid_of(call, 6, 7))

    return kernel


def _side(call: Call, place: int) -> fx.Node | Tensor:
    grid = grid_of(call, place + 1, place + 2)
    given = call.inputs[place]
    if isinstance(given, Tensor):
        return (given.float() - grid.zero_point) * grid.scale
    return numbers_of(call, place, grid)


def concat(call: Call) -> Result:
    """The result's grid, then each part and its grid."""
    places = range(2, len(call.inputs), 3)
    parts = [numbers_of(call, i, grid_of(call, i + 1, i + 2)) for i in places]
    whole = joined(call.build, parts, call.attribute("axis"))
    return coded(call, whole, grid_of(call, 0, 1))


def last_to_first(entry: Entry) -> Entry:
    """An entry of planes for an operation that always has channels last."""

    def kernel(call: Call) -> Result:
        return _turned(call, entry, [call.x, *call.inputs[1:]])

    return kernel


def _with_channels_first(call: Call, entry: Entry, inputs: Sequence[Value | None]) -> fx.Node:
    if call.attribute("channels_last", 0):
        return _turned(call, entry, inputs)
    return _node(call, entry(replace(call, inputs=inputs)))


def _turned(call: Call, entry: Entry, inputs: Sequence[Value | None]) -> fx.Node:
    first, *more = inputs
    planes = permuted(call.build, _node(call, first), FIRST)
    found = _node(call, entry(replace(call, inputs=[planes, *more])))
    return _node(call, permuted(call.build, found, LAST))


def _node(call: Call, result: Result | None) -> fx.Node:
    if not isinstance(result, fx.Node):
        raise Unreadable(f"{call.node.place} does not depend on the image")
    return result
