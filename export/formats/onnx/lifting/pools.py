"""Pools and other reductions."""

from __future__ import annotations

import math

import torch

from export.formats.onnx.lifting.call import Call, Entry, Result
from export.formats.onnx.lifting.layers import around, split_padding
from pipeline.program.arithmetic_rules import norm, over_axes


def max_pool(call: Call) -> Result:
    """The largest number of each window."""
    call.only("storage_order", 0)
    if len(call.node.outputs) > 1:
        raise call.unknown("with places as outputs")
    window, step = call.attribute("kernel_shape"), call.attribute("strides", [1, 1])
    apart, partial = call.attribute("dilations", [1, 1]), bool(call.attribute("ceil_mode", 0))
    pads = around(call, window, step, apart)
    _refuse_partial(call, partial, pads)
    x, padding = split_padding(call, pads, -math.inf)
    return call.build.add("max_pool2d", x, window, step, padding, apart, partial)


def average_pool(call: Call) -> Result:
    """The mean of each window."""
    call.only("dilations", [1, 1])
    window, step = call.attribute("kernel_shape"), call.attribute("strides", [1, 1])
    partial = bool(call.attribute("ceil_mode", 0))
    with_padding = bool(call.attribute("count_include_pad", 0))
    pads = around(call, window, step, [1, 1])
    if pads[:2] != pads[2:] and not with_padding:
        raise call.unknown(f"with pads {pads} that do not count")
    _refuse_partial(call, partial, pads)
    x, padding = split_padding(call, pads, 0.0)
    return call.build.add("avg_pool2d", x, window, step, padding, partial, with_padding)


def _refuse_partial(call: Call, partial: bool, pads: list[int]) -> None:
    """A window that begins in padding is left out, and what is padded before looks like no padding.

    Raises:
        CannotRunHere: windows at the end may be parts, and opposite pads differ.
    """
    if partial and pads[:2] != pads[2:]:
        raise call.unknown(f"with ceil_mode and pads {pads}")


def whole_plane(operation: str) -> Entry:
    """An entry for a mean or maximum of each plane."""
    rule = over_axes(operation)

    def entry(call: Call) -> Result:
        return rule(call.build, call.x, list(range(2, len(call.shape()))), True)  # type: ignore[no-any-return]

    return entry


def reduced(operation: str) -> Entry:
    """An entry for a mean, maximum, sum or length over axes."""

    def entry(call: Call) -> Result:
        axes = call.numbers(1) if call.has(1) else call.attribute("axes")
        call.attribute("axes")
        keep = bool(call.attribute("keepdims", 1))
        if not axes and call.attribute("noop_with_empty_axes", 0):
            return call.x
        if operation == "linalg_vector_norm":
            return norm(call.build, call.x, 2, axes, keep)
        return over_axes(operation)(call.build, call.x, axes, keep)  # type: ignore[no-any-return]

    return entry


def resized(call: Call) -> Result:
    """Larger by a whole factor: the nearest number, or between two on each axis."""
    given = call.tensor(2)
    scales = None if given is None else [float(n) for n in given.reshape(-1)]
    sizes = call.numbers(3)
    before = call.shape()
    if not sizes and scales:
        exact = [n * s for n, s in zip(before, scales, strict=True)]
        sizes = [int(n) for n in exact]
        if exact != sizes:
            raise call.unknown(f"by {scales} from {before}")
    if not sizes or sizes[:2] != before[:2] or len(sizes) != 4:
        raise call.unknown(f"from {before} to {sizes}")
    call.attribute("cubic_coeff_a")  # of another mode
    call.only("antialias", 0)
    call.only("exclude_outside", 0)
    call.attribute("extrapolation_value")
    mode = call.attribute("mode", "nearest")
    placed = call.attribute("coordinate_transformation_mode", "half_pixel")
    rounded = call.attribute("nearest_mode", "round_prefer_floor")
    if (mode, placed, rounded) == ("nearest", "asymmetric", "floor"):
        return call.build.add("upsample_nearest2d.vec", call.x, sizes[2:], None)
    if placed == "pytorch_half_pixel" and 1 in sizes[2:]:
        raise call.unknown(f"with {placed} to {sizes}")
    if mode == "linear" and placed in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        corners = placed == "align_corners"
        return call.build.add("upsample_bilinear2d.vec", call.x, sizes[2:], corners, None)
    raise call.unknown(f"with mode {mode}, {placed}, {rounded}")


def softmax(call: Call) -> Result:
    """Over one axis."""
    from pipeline.program.normal_form import RULES

    rule = RULES[torch.ops.aten.softmax.int]
    return rule(call.build, call.x, call.attribute("axis", -1))  # type: ignore[no-any-return]
