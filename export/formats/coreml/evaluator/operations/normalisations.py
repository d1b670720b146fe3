"""Normalisations: by stored statistics, or by those of the input.

Formulas: docstrings of coremltools 9.0, ops/defs/iOS15/normalization.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import (
    Arguments,
    axes_of,
    by_channel,
    given,
    tensor,
)


def _batch_norm(arguments: Arguments) -> Tensor:
    mean, variance = tensor(arguments["mean"]), tensor(arguments["variance"])
    gamma, beta = given(arguments, "gamma"), given(arguments, "beta")
    return F.batch_norm(
        tensor(arguments["x"]), mean, variance, gamma, beta, eps=float(arguments["epsilon"])
    )


def _instance_norm(arguments: Arguments) -> Tensor:
    """Each channel of each image by its own mean and variance."""
    x = tensor(arguments["x"])
    made = _standardised(x, range(2, x.ndim), float(arguments["epsilon"]))
    gamma, beta = (given(arguments, name) for name in ("gamma", "beta"))
    made = made if gamma is None else made * by_channel(gamma, x)
    return made if beta is None else made + by_channel(beta, x)


def _l2_norm(arguments: Arguments) -> Tensor:
    """Divided by the root of the sum of squares of the last three axes."""
    x = tensor(arguments["x"])
    total = x.square().sum(dim=(-3, -2, -1), keepdim=True)
    return x / torch.sqrt(total + float(arguments["epsilon"]))


def _layer_norm(arguments: Arguments) -> Tensor:
    """By mean and variance over `axes`, whose shape gamma and beta have."""
    x = tensor(arguments["x"])
    axes = sorted(axes_of(arguments, x))
    made = _standardised(x, axes, float(arguments["epsilon"]))
    shape = [size if axis in axes else 1 for axis, size in enumerate(x.shape)]
    gamma, beta = (given(arguments, name) for name in ("gamma", "beta"))
    made = made if gamma is None else made * gamma.reshape(shape)
    return made if beta is None else made + beta.reshape(shape)


def _standardised(x: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    """Minus the mean, over the root of the variance (of n, not of n - 1) plus epsilon."""
    centred = x - x.mean(dim=list(axes), keepdim=True)
    variance = centred.square().mean(dim=list(axes), keepdim=True)
    return centred / torch.sqrt(variance + epsilon)


NORMALISATIONS: Final[Mapping[str, Callable[[Arguments], Tensor]]] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "l2_norm": _l2_norm,
    "layer_norm": _layer_norm,
}
