"""Layers: convolutions, matrix products, normalisations and pools.

Padding that differs before and after is an operation of its own, as PyTorch writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from export.formats.coreml.evaluator.operations.arguments import integers
from export.formats.coreml.evaluator.operations.windows import padding_of, torch_order
from export.formats.coreml.lifting.arguments import (
    Arguments,
    Entry,
    axes_from_front,
    reshaped_to,
    sizes_of,
    unknown_use,
)
from pipeline.program.arithmetic_rules import batch_norm
from pipeline.program.shape_rules import padded, permuted, transposed

if TYPE_CHECKING:
    from torch import fx

    from pipeline.program.builder import Builder


def _conv(build: Builder, arguments: Arguments) -> fx.Node:
    x, weight = arguments["x"], arguments["weight"]
    strides, dilations = integers(arguments["strides"]), integers(arguments["dilations"])
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, sizes_of(weight)[2:], strict=True)]
    x, padding = _padded(build, arguments, reach, strides, 0.0)
    groups = int(arguments["groups"])
    bias = arguments.get("bias")
    return build.add("conv2d", x, weight, bias, strides, padding, dilations, groups)


def _linear(build: Builder, arguments: Arguments) -> fx.Node:
    return build.add("linear", arguments["x"], arguments["weight"], arguments.get("bias"))


def _matmul(build: Builder, arguments: Arguments) -> fx.Node:
    """Each side transposed first if so asked."""
    sides = [
        transposed(build, arguments[name], -2, -1)
        if bool(arguments[f"transpose_{name}"])
        else arguments[name]
        for name in ("x", "y")
    ]
    return build.add("matmul", *sides)


def _batch_norm(build: Builder, arguments: Arguments) -> fx.Node:
    """MIL has none of (N, C): the writer gives it an axis of length 1, which goes again here."""
    sizes = sizes_of(arguments["x"])
    flat = sizes[:2] if sizes[2:] == [1] else sizes
    x = reshaped_to(build, arguments["x"], flat)
    weight, bias = arguments.get("gamma"), arguments.get("beta")
    mean, variance, epsilon = (arguments[name] for name in ("mean", "variance", "epsilon"))
    made, *_ = batch_norm(build, x, weight, bias, mean, variance, 0.0, epsilon)
    return reshaped_to(build, made, sizes)


def _layer_norm(build: Builder, arguments: Arguments) -> fx.Node:
    """Over the last axes; others are brought there and back."""
    x = arguments["x"]
    axes = axes_from_front(arguments, x)
    kept = [axis for axis in range(len(sizes_of(x))) if axis not in axes]
    order = kept + axes
    x = permuted(build, x, order)
    shape = sizes_of(x)[len(kept) :]
    given = [arguments.get(name) for name in ("gamma", "beta")]
    made = build.add("layer_norm", x, shape, *given, arguments["epsilon"])
    return permuted(build, made, [order.index(axis) for axis in range(len(order))])


def _max_pool(build: Builder, arguments: Arguments) -> fx.Node:
    kernel, strides = integers(arguments["kernel_sizes"]), integers(arguments["strides"])
    x, padding = _padded(build, arguments, kernel, strides, float("-inf"))
    ceil = bool(arguments["ceil_mode"])
    return build.add("max_pool2d", x, kernel, strides, padding, ceil_mode=ceil)


def _avg_pool(build: Builder, arguments: Arguments) -> fx.Node:
    kernel, strides = integers(arguments["kernel_sizes"]), integers(arguments["strides"])
    counted = not bool(arguments["exclude_padding_from_average"])
    pairs = padding_of(arguments, sizes_of(arguments["x"])[2:], kernel, strides)
    if not counted and any(before != after for before, after in pairs):
        raise unknown_use("avg_pool", f"padding {pairs} that is not counted")
    x, padding = _padded(build, arguments, kernel, strides, 0.0)
    ceil = bool(arguments["ceil_mode"])
    return build.add("avg_pool2d", x, kernel, strides, padding, ceil, counted)


def _padded(
    build: Builder,
    arguments: Arguments,
    reach: Sequence[int],
    strides: Sequence[int],
    value: float,
) -> tuple[Any, list[int]]:
    """The input and the padding that is left to the layer."""
    x = arguments["x"]
    pairs = padding_of(arguments, sizes_of(x)[2:], reach, strides)
    if all(before == after for before, after in pairs):
        return x, [before for before, _ in pairs]
    return padded(build, x, torch_order(pairs), value=value), [0] * len(pairs)


LAYERS: Final[Mapping[str, Entry]] = {
    "avg_pool": _avg_pool,
    "batch_norm": _batch_norm,
    "conv": _conv,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "matmul": _matmul,
    "max_pool": _max_pool,
}
