"""Layers with weights of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from export.errors import Unreadable
from export.formats.onnx.lifting.call import Call, Result, reshaped
from pipeline.program.shape_rules import padded, transposed


def around(
    call: Call, window: Sequence[int], step: Sequence[int], apart: Sequence[int]
) -> list[int]:
    """The padding of a convolution or pool: top, left, bottom, right."""
    how = call.attribute("auto_pad", "NOTSET")
    given = call.attribute("pads", [0, 0, 0, 0])
    if how == "VALID":
        return [0, 0, 0, 0]
    if how == "NOTSET":
        return [int(n) for n in given]
    begins, ends = [], []
    for length, k, s, d in zip(call.shape()[2:], window, step, apart, strict=True):
        total = max((-(-length // s) - 1) * s + d * (k - 1) + 1 - length, 0)
        small = total // 2
        begins.append(small if how == "SAME_UPPER" else total - small)
        ends.append(total - begins[-1])
    return begins + ends


def split_padding(call: Call, pads: Sequence[int], fill: float) -> tuple[fx.Node, list[int]]:
    """The input, padded where two opposite ends differ, and the padding that is left."""
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return call.x, [top, left]
    return padded(call.build, call.x, [left, right, top, bottom], "constant", fill), [0, 0]


def conv(call: Call) -> Result:
    """A convolution of planes."""
    weight = call.value(1)
    kernel = call.shape(1)[2:]
    if len(kernel) != 2:
        raise call.unknown(f"over {len(kernel)} axes")
    call.only("kernel_shape", kernel)
    step, apart = call.attribute("strides", [1, 1]), call.attribute("dilations", [1, 1])
    x, padding = split_padding(call, around(call, kernel, step, apart), 0.0)
    bias = call.value(2) if call.has(2) else None
    if bias is not None and call.shape(2) != call.shape(1)[:1]:
        raise Unreadable(f"{call.node.place} has a bias {call.shape(2)} for {call.shape(1)}")
    groups = call.attribute("group", 1)
    return call.build.add("conv2d", x, weight, bias, step, padding, apart, groups)


def gemm(call: Call) -> Result:
    """Alpha A B + beta C."""
    call.only("alpha", 1.0)
    call.only("beta", 1.0)
    build, x = call.build, call.x
    if call.attribute("transA", 0):
        x = transposed(build, x)
    matrix: Any = call.inputs[1]
    turned = call.attribute("transB", 0)
    if not isinstance(matrix, Tensor):
        product = build.add("matmul", x, transposed(build, matrix) if turned else matrix)
        return build.add("add.Tensor", product, call.value(2)) if call.has(2) else product
    weight = matrix if turned else matrix.t().contiguous()
    return build.add("linear", x, weight, of_columns(call, call.tensor(2), len(weight)))


def of_columns(call: Call, bias: Tensor | None, columns: int) -> Tensor | None:
    """A number for each column of a product, from one for all or for each.

    Raises:
        CannotRunHere: one for each row.
    """
    if bias is None:
        return None
    if bias.numel() > 1 and bias.shape[-1] != bias.numel():
        raise call.unknown(f"with a bias {list(bias.shape)}")
    return bias.reshape(-1).expand(columns)


def matmul(call: Call) -> Result:
    """A product of matrices, or of stacks of them."""
    return call.build.add("matmul", call.value(0), call.value(1))


def batch_norm(call: Call) -> Result:
    """With the statistics that are stored."""
    call.only("training_mode", 0)
    call.attribute("momentum")  # for training alone
    if len(call.node.outputs) > 1:
        raise call.unknown("with statistics as outputs")
    tensors = [call.value(place) for place in range(1, 5)]
    return call.build.add("batch_norm", call.x, *tensors, eps=call.attribute("epsilon", 1e-5))


def layer_norm(call: Call) -> Result:
    """Over the last axes."""
    call.only("stash_type", 1)
    if len(call.node.outputs) > 1:
        raise call.unknown("with statistics as outputs")
    shape = call.shape()[call.attribute("axis", -1) :]
    bias = call.value(2) if call.has(2) else None
    epsilon = call.attribute("epsilon", 1e-5)
    return call.build.add("layer_norm", call.x, shape, call.value(1), bias, epsilon)


def prelu(call: Call) -> Result:
    """A slope below zero, for each channel or for all."""
    slope = call.required(1)
    channels = call.shape()[1]
    if slope.numel() not in (1, channels):
        raise Unreadable(f"{call.node.place} has {slope.numel()} slopes for {channels} channels")
    places = [1] * (len(call.shape()) - 2)
    if slope.numel() > 1 and list(slope.shape)[-len(places) - 1 :] != [channels, *places]:
        raise call.unknown(f"with slopes {list(slope.shape)}")
    return call.build.add("prelu", call.x, slope.reshape(-1))


def instance_norm(call: Call) -> Result:
    """Of every plane by itself: group norm with as many groups as channels."""
    channels = call.shape()[1]
    weight, bias = call.value(1), call.value(2)
    epsilon = call.attribute("epsilon", 1e-5)
    return call.build.add("group_norm", call.x, channels, weight, bias, epsilon)


def flatten(call: Call) -> Result:
    """All axes before one, and all from it on."""
    shape, axis = call.shape(), call.attribute("axis", 1)
    axis = axis % len(shape) if axis != len(shape) else axis
    rows = int(torch.Size(shape[:axis]).numel())
    return reshaped(call, call.x, [rows, int(torch.Size(shape[axis:]).numel())])
