"""Integer kernels as what they compute: an operation on numbers of a grid, rounded to a grid.

In: QNNPACK's operators. Out: the operations of a program on float32 and, at each place where a
kernel rounds, a fake quantisation to uint8 (Jacob et al., CVPR 2018, arXiv:1712.05877), as the
int8 variant has them. A `Coded` tensor is uint8 in the file, and here the numbers it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, fx

from export.errors import CannotRunHere
from export.formats.torchscript.lifting.places import Place
from export.formats.torchscript.lifting.prepacked import Prepacked
from pipeline.program.arithmetic_rules import rounded

if TYPE_CHECKING:
    from export.formats.torchscript.lite_file.safe_unpickler import Record
    from pipeline.program.builder import Builder

UINT8: Final = 13  # torch's number of quint8
QUANTIZE: Final = ("aten::quantize_per_tensor", "aten::quantize_per_tensor.tensor_qparams")
DEQUANTIZE: Final = ("aten::dequantize.self", "aten::dequantize.tensor")
# What takes codes as any numbers, since it only moves them or takes the largest.
KEEPING: Final = frozenset({
    "aten::max_pool2d", "aten::cat", "aten::flatten.using_ints", "aten::reshape", "aten::view",
    "aten::permute", "aten::transpose.int", "aten::contiguous", "aten::slice.Tensor", "aten::chunk",
    "aten::split.Tensor", "aten::split_with_sizes", "aten::relu", "aten::relu_", "aten::dropout",
    "aten::size", "aten::size.int", "aten::dim",
})  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """What the codes of a tensor stand for: (code - zero_point) scale.

    Attributes:
        scale: rounded to float32.
        zero_point: 0 to 255.
    """

    scale: float
    zero_point: int


@dataclass(eq=False)
class Coded(Place):
    """A tensor that is uint8 in the file."""

    grid: Grid = Grid(1.0, 0)


def coded(build: Builder, x: fx.Node, scale: Any, zero_point: Any) -> Coded:
    """A result rounded to a grid."""
    step = float(torch.as_tensor(scale, dtype=torch.float32))
    return Coded(rounded(build, x, step, int(zero_point)), grid=Grid(step, int(zero_point)))


def kernel(build: Builder, full: str, arguments: list[Any]) -> Place | None:
    """The result of an operator that makes or takes codes; None if it is none of these.

    Raises:
        CannotRunHere: an operator that is not known here, or that takes other codes.
    """
    if full in QUANTIZE:
        x, scale, zero_point, kind = arguments
        if kind != UINT8 or not isinstance(x, Place):
            raise CannotRunHere(f"{full} to the type {kind} is not known here")
        return coded(build, x.read(), scale, zero_point)
    if full in DEQUANTIZE:
        return Place(arguments[0].read())
    if not full.startswith("quantized::"):
        return None
    name, relu, _ = full.removeprefix("quantized::").removesuffix(".new").partition("_relu")
    if name not in KERNELS:
        raise CannotRunHere(f"operation {full} of TorchScript is not known here")
    *given, scale, zero_point = arguments
    made = KERNELS[name](build, *given)
    return coded(build, build.add("relu", made) if relu else made, scale, zero_point)


def kept(full: str, arguments: list[Any]) -> Grid | None:
    """The grid of codes that an operator of floating point is given, and so of its result."""
    grids = {place.grid for place in _codes(arguments)}
    if not grids:
        return None
    if len(grids) > 1 or not (full in KEEPING or _pads_with_zero(full, arguments)):
        raise CannotRunHere(f"{full} on {len(grids)} kinds of codes is not known here")
    return grids.pop()


def _pads_with_zero(full: str, arguments: list[Any]) -> bool:
    """Every grid has a code for zero; another number becomes the nearest one that has a code."""
    if full != "aten::pad":
        return False
    mode = arguments[2] if len(arguments) > 2 else "constant"  # or left out
    value = arguments[3] if len(arguments) > 3 else None
    return mode == "constant" and value in (None, 0)


def _codes(value: Any) -> list[Coded]:
    if isinstance(value, list | tuple):
        return [place for item in value for place in _codes(item)]
    return [value] if isinstance(value, Coded) else []


def _layer(build: Builder, x: Coded, packed: Prepacked) -> fx.Node:
    return packed.run(build, x.read())


def _of_two(operation: str) -> Callable[..., fx.Node]:
    def rule(build: Builder, x: Coded, y: Coded) -> fx.Node:
        return build.add(operation, x.read(), y.read())

    return rule


def _hardswish(build: Builder, x: Coded) -> fx.Node:
    return build.add("hardswish", x.read())


def _joined(build: Builder, parts: list[Coded], axis: int) -> fx.Node:
    return build.add("cat", [part.read() for part in parts], axis)


KERNELS: Final[Mapping[str, Callable[..., fx.Node]]] = {
    "conv2d": _layer,
    "linear": _layer,
    "add": _of_two("add.Tensor"),
    "mul": _of_two("mul.Tensor"),
    "hardswish": _hardswish,
    "cat": _joined,
}


def stored_kernel(name: str, record: Record, tensor: Callable[[Any], Any]) -> Prepacked | None:
    """A layer packed for QNNPACK, its weight as numbers; None if a record is none.

    A convolution's settings are integers (aten/src/ATen/native/quantized/cpu/conv_serialization.h):
    2, then stride, padding, dilation and output padding, two each, groups, flags (1: transposed).
    """
    kind = record.name.rpartition(".")[2]
    if kind == "LinearPackedParamsBase":
        weight, bias = map(tensor, record.state)
        return Prepacked(name, "linear", weight, bias, (), None, None)
    if kind != "Conv2dPackedParamsBase":
        return None
    version, (settings, weight), (bias,) = record.state
    axes, *numbers = (int(number) for number in settings)
    if version != "2" or axes != 2 or any(numbers[6:8]) or numbers[9]:
        raise CannotRunHere(f"a convolution of version {version} is not known here")
    shape = (numbers[:2], numbers[2:4], numbers[4:6], numbers[8])
    found: tuple[Tensor, Tensor | None] = (tensor(weight), tensor(bias))
    return Prepacked(name, "conv2d", *found, shape, None, None)
