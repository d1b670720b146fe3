"""Pools: the maximum or the average of each window.

Definitions: coremltools 9.0, ops/defs/iOS15/pool.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import Arguments, integers, tensor
from export.formats.coreml.evaluator.operations.windows import (
    ceil_padding,
    pad_by,
    padding_of,
    torch_order,
)


def _max_pool(arguments: Arguments) -> Tensor:
    x, kernel, strides, padding = _pool_arguments(arguments)
    padded = pad_by(x, ceil_padding(arguments, x, kernel, strides, padding), float("-inf"))
    # Torch finds a maximum many times faster in channels-last. The operations after it do not gain,
    # and small convolutions sum in another order there.
    made = F.max_pool2d(padded.contiguous(memory_format=torch.channels_last), kernel, strides)
    return made.contiguous()


def _avg_pool(arguments: Arguments) -> Tensor:
    x, kernel, strides, padding = _pool_arguments(arguments)
    reached = ceil_padding(arguments, x, kernel, strides, padding)
    area = kernel[0] * kernel[1]
    total = F.avg_pool2d(pad_by(x, reached, 0.0), kernel, strides) * area
    # The divisor counts real pixels, and padding unless it is excluded; never the cells that only
    # ceil_mode adds.
    ones = torch.ones(1, 1, *x.shape[2:])
    if not bool(arguments["exclude_padding_from_average"]):
        ones = F.pad(ones, torch_order(padding), value=1.0)
        reached = [(a - c, b - d) for (a, b), (c, d) in zip(reached, padding, strict=True)]
    counted = F.avg_pool2d(pad_by(ones, reached, 0.0), kernel, strides) * area
    return total / counted


def _pool_arguments(
    arguments: Arguments,
) -> tuple[Tensor, list[int], list[int], list[tuple[int, int]]]:
    x = tensor(arguments["x"])
    kernel, strides = integers(arguments["kernel_sizes"]), integers(arguments["strides"])
    return x, kernel, strides, padding_of(arguments, x.shape[2:], kernel, strides)


POOLS: Final[Mapping[str, Callable[[Arguments], Tensor]]] = {
    "avg_pool": _avg_pool,
    "max_pool": _max_pool,
}
