"""Activations: one number in, one number out.

Formulas: docstrings of coremltools 9.0, ops/defs/iOS15/activation.py and elementwise_unary.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import Arguments, by_channel, tensor


def _clamped_relu(arguments: Arguments) -> Tensor:
    """min(beta, x) where x >= 0, min(beta, alpha x) elsewhere."""
    return torch.minimum(_leaky_relu(arguments), tensor(arguments["beta"]))


def _clip(arguments: Arguments) -> Tensor:
    """Between alpha and beta."""
    above = torch.maximum(tensor(arguments["x"]), tensor(arguments["alpha"]))
    return torch.minimum(above, tensor(arguments["beta"]))


def _elu(arguments: Arguments) -> Tensor:
    """X where x > 0, alpha (e^x - 1) elsewhere."""
    x = tensor(arguments["x"])
    return torch.where(x > 0, x, tensor(arguments["alpha"]) * torch.expm1(x))


def _gelu(arguments: Arguments) -> Tensor:
    """X times the normal distribution function of x, or an approximation of it."""
    x, mode = tensor(arguments["x"]), arguments["mode"]
    if mode == "EXACT":
        return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
    if mode == "TANH_APPROXIMATION":
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    raise ValueError(f"mode {mode}")


def _leaky_relu(arguments: Arguments) -> Tensor:
    """X where x >= 0, alpha x elsewhere."""
    x = tensor(arguments["x"])
    return torch.where(x >= 0, x, tensor(arguments["alpha"]) * x)


def _linear_activation(arguments: Arguments) -> Tensor:
    return tensor(arguments["x"]) * tensor(arguments["alpha"]) + tensor(arguments["beta"])


def _prelu(arguments: Arguments) -> Tensor:
    """As leaky_relu, with an alpha for each channel."""
    x = tensor(arguments["x"])
    return torch.where(x > 0, x, by_channel(tensor(arguments["alpha"]), x) * x)


def _scaled_tanh(arguments: Arguments) -> Tensor:
    inner = torch.tanh(tensor(arguments["beta"]) * tensor(arguments["x"]))
    return tensor(arguments["alpha"]) * inner


def _sigmoid_hard(arguments: Arguments) -> Tensor:
    """Alpha x + beta, between 0 and 1."""
    return _linear_activation(arguments).clamp(0, 1)


def _softplus(arguments: Arguments) -> Tensor:
    """log(1 + e^x)."""
    x = tensor(arguments["x"])
    return torch.logaddexp(x, torch.zeros_like(x))


def _softsign(arguments: Arguments) -> Tensor:
    x = tensor(arguments["x"])
    return x / (1 + x.abs())


def _thresholded_relu(arguments: Arguments) -> Tensor:
    """X where x >= alpha, 0 elsewhere."""
    x = tensor(arguments["x"])
    return torch.where(x >= tensor(arguments["alpha"]), x, torch.zeros_like(x))


ACTIVATIONS: Final[Mapping[str, Callable[[Arguments], Tensor]]] = {
    "clamped_relu": _clamped_relu,
    "clip": _clip,
    "elu": _elu,
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    "linear_activation": _linear_activation,
    "prelu": _prelu,
    "relu": lambda a: torch.relu(tensor(a["x"])),
    "relu6": lambda a: tensor(a["x"]).clamp(0, 6),
    "scaled_tanh": _scaled_tanh,
    "sigmoid": lambda a: torch.sigmoid(tensor(a["x"])),
    "sigmoid_hard": _sigmoid_hard,
    "silu": lambda a: F.silu(tensor(a["x"])),
    "softmax": lambda a: torch.softmax(tensor(a["x"]), dim=int(a["axis"])),
    "softplus": _softplus,
    "softsign": _softsign,
    "tanh": lambda a: torch.tanh(tensor(a["x"])),
    "thresholded_relu": _thresholded_relu,
}
