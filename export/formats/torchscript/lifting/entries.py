"""What operators of TorchScript come down to, where no rule of `pipeline.program` knows them.

`pipeline.program.normal_form.RULES` is about what torch.export leaves; a lite file also has
operators that torch.export takes apart, some that torch's mobile passes make, and the arithmetic of
sizes. An entry is given the operator's arguments and answers what stands for its result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, fx

from export.errors import CannotRunHere
from pipeline.program import arithmetic_rules as arithmetic
from pipeline.program import shape_rules as shape
from pipeline.program.builder import Builder, shape_of

Entry = Callable[..., Any]


def _cast(build: Builder, x: fx.Node, dtype: torch.dtype | None = None, *_: Any, **__: Any) -> Any:
    return shape.cast(build, x, dtype)


def _like(build: Builder, x: fx.Node, other: Any, *_: Any) -> Any:
    return shape.cast(build, x, build.node(other).meta["values"][0].dtype)


def _dropped(build: Builder, x: fx.Node, _share: float, train: bool) -> fx.Node:
    if train:
        raise CannotRunHere("a dropout that drops out is not known here")
    return x


def _convolution(
    build: Builder, x: fx.Node, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, *_: Any,
) -> fx.Node:  # fmt: skip
    if transposed or any(output_padding):
        raise CannotRunHere("a transposed convolution is not known here")
    return build.add("conv2d", x, weight, bias, stride, padding, dilation, groups)


def _sum_then_relu(build: Builder, x: Any, y: Any, alpha: float = 1) -> fx.Node:
    return build.add("relu", arithmetic.weighted("add.Tensor")(build, x, y, alpha=alpha))


def _relu6(build: Builder, x: fx.Node) -> fx.Node:
    return build.add("hardtanh", x, 0.0, 6.0)


def _larger(build: Builder, x: Any, y: Any) -> fx.Node:
    """Of two tensors; one without axes is a number."""
    x, y = (y, x) if isinstance(x, Tensor) else (x, y)
    if isinstance(y, Tensor) and y.dim() == 0:
        return arithmetic.at_least(build, x, y.item())
    return build.add("maximum", x, y)


def _expanded(build: Builder, x: fx.Node, other: Any) -> fx.Node:
    return shape.expanded(build, x, shape_of(other))


def _reshaped(build: Builder, x: fx.Node, other: Any) -> Any:
    return shape.reshaped_by(torch.reshape)(build, x, shape_of(other))


def _narrowed(build: Builder, x: fx.Node, axis: int, start: int, length: int) -> fx.Node:
    return shape.sliced(build, x, axis, start, start + length)


def _squared(build: Builder, x: fx.Node) -> fx.Node:
    return build.add("mul.Tensor", x, x)


def _last_two(build: Builder, x: fx.Node) -> fx.Node:
    return shape.transposed(build, x, -2, -1)


def _size(_: Builder, x: fx.Node, axis: int | None = None) -> Any:
    return shape_of(x) if axis is None else shape_of(x)[axis]


def _axes(_: Builder, x: fx.Node) -> int:
    return len(shape_of(x))


def _largest_places(
    build: Builder, x: fx.Node, window: Any, stride: Any = (), *rest: Any
) -> tuple[fx.Node, None]:
    return arithmetic.pooled("max_pool2d")(build, x, window, stride, *rest), None


# Of a tensor that depends on the pixels; without the name space aten.
ENTRIES: Final[Mapping[str, Entry]] = {
    "flatten.using_ints": shape.reshaped_by(torch.flatten),
    "unflatten.int": shape.reshaped_by(lambda x, axis, sizes: x.unflatten(axis, sizes)),
    "reshape_as": _reshaped,
    "view_as": _reshaped,
    "expand_as": _expanded,
    "narrow": _narrowed,
    "split.sizes": shape.split,
    "concat": shape.joined,
    "mT": _last_two,
    "to.dtype": _cast,
    "to.dtype_layout": _cast,
    "to.prim_dtype": _cast,
    "type_as": _like,
    "dropout": _dropped,
    "feature_dropout": _dropped,
    "_convolution": _convolution,
    "_convolution.deprecated": _convolution,
    "_add_relu.Tensor": _sum_then_relu,
    "relu6": _relu6,
    "clamp_min.Tensor": _larger,
    "maximum": _larger,
    "square": _squared,
    "norm.ScalarOpt_dim": arithmetic.norm,
    "max_pool2d_with_indices": _largest_places,
    "size": _size,
    "size.int": _size,
    "dim": _axes,
}


def _appended(items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


def _part(items: list[Any], start: int | None, end: int | None, step: int = 1) -> list[Any]:
    return items[start:end:step]


def _device(_: Any) -> str:
    return "cpu"


# On lists, strings and what may be anything.
PYTHON: Final[Mapping[str, Callable[..., Any]]] = {
    "aten::__getitem__.t": operator.getitem,
    "aten::len.t": len,
    "aten::slice.t": _part,
    "aten::append.t": _appended,
    "aten::add.t": operator.add,
    "aten::mul.left_t": operator.mul,
    "aten::eq.str": operator.eq,
    "aten::__contains__.str_list": operator.contains,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__not__": operator.not_,
    "prim::TupleIndex": operator.getitem,
    "prim::unchecked_cast": lambda value: value,
    "prim::device": _device,
}
# What is computed here where it does not depend on the pixels, all else than a program's own
# operations. None of these reads a file or draws a number.
# fmt: off
COMPUTED: Final = frozenset({
    "aten::add", "aten::sub", "aten::mul", "aten::div", "aten::floordiv", "aten::floor_divide",
    "aten::remainder", "aten::neg", "aten::pow", "aten::ceil", "aten::floor", "aten::eq",
    "aten::ne", "aten::lt", "aten::le", "aten::gt", "aten::ge", "aten::Int", "aten::Float",
    "aten::Bool", "aten::IntImplicit", "aten::FloatImplicit", "aten::ScalarImplicit",
    "prim::NumToTensor", "prim::max", "prim::min", "aten::sum", "aten::stack", "aten::flatten",
    "aten::unsqueeze", "aten::squeeze", "aten::to", "aten::zeros", "aten::ones", "aten::full",
    "aten::arange", "aten::cumsum", "aten::sin", "aten::cos", "aten::bitwise_not", "aten::mT",
    "aten::expand_as", "aten::type_as", "aten::size", "aten::dim",
    "aten::repeat",
})
# fmt: on


def is_known(value: Any) -> bool:
    """Whether a value does not depend on the pixels."""
    if isinstance(value, list | tuple):
        return all(map(is_known, value))
    return value is None or isinstance(value, Tensor | torch.dtype | int | float | str)
