"""Sums of products: convolutions and matrix products.

Formulas: docstrings of coremltools 9.0, ops/defs/iOS15/conv.py and linear.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import (
    Arguments,
    given,
    integers,
    tensor,
)
from export.formats.coreml.evaluator.operations.windows import pad_by, padding_of


def _conv(arguments: Arguments) -> Tensor:
    x, weight, bias = tensor(arguments["x"]), tensor(arguments["weight"]), given(arguments, "bias")
    strides, dilations = integers(arguments["strides"]), integers(arguments["dilations"])
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, weight.shape[2:], strict=True)]
    padded = pad_by(x, padding_of(arguments, x.shape[2:], reach, strides), 0.0)
    groups = int(arguments["groups"])
    return F.conv2d(padded, weight, bias, strides, 0, dilations, groups)


def _linear(arguments: Arguments) -> Tensor:
    x, weight = tensor(arguments["x"]), tensor(arguments["weight"])
    return F.linear(x, weight, given(arguments, "bias"))


def _matmul(arguments: Arguments) -> Tensor:
    """Numpy's product of stacks of matrices, each side transposed first if so asked."""
    sides = []
    for name in ("x", "y"):
        side = tensor(arguments[name])
        turned = bool(arguments[f"transpose_{name}"]) and side.ndim > 1
        sides.append(side.transpose(-1, -2) if turned else side)
    return torch.matmul(*sides)


PRODUCTS: Final[Mapping[str, Callable[[Arguments], Tensor]]] = {
    "conv": _conv,
    "linear": _linear,
    "matmul": _matmul,
}
