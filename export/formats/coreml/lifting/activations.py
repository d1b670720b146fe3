"""Activations: one number in, one number out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from export.formats.coreml.lifting.arguments import Arguments, Entry, unknown_use
from pipeline.program.arithmetic_rules import clamped, softmax

if TYPE_CHECKING:
    from torch import fx

    from pipeline.program.builder import Builder

SIXTH: Final = float(np.float32(1 / 6))
# What the writer gives as a bound where PyTorch has none: the largest numbers of fp16 and fp32.
UNBOUNDED: Final = (65504.0, float(np.finfo(np.float32).max), float("inf"))
GELUS: Final = {"EXACT": "none", "TANH_APPROXIMATION": "tanh"}


def _same(operation: str) -> Entry:
    """An operation of one input that PyTorch has too."""
    return lambda build, arguments: build.add(operation, arguments["x"])


def _clip(build: Builder, arguments: Arguments) -> fx.Node:
    low, high = arguments["alpha"], arguments["beta"]
    return clamped(
        build,
        arguments["x"],
        None if -low in UNBOUNDED else low,
        None if high in UNBOUNDED else high,
    )


def _elu(build: Builder, arguments: Arguments) -> fx.Node:
    if arguments["alpha"] != 1:
        raise unknown_use("elu", f"alpha {arguments['alpha']:.6g}")
    return build.add("elu", arguments["x"])


def _gelu(build: Builder, arguments: Arguments) -> fx.Node:
    mode = arguments["mode"]
    if mode not in GELUS:
        raise unknown_use("gelu", f"mode {mode}")
    return build.add("gelu", arguments["x"], approximate=GELUS[mode])


def _leaky_relu(build: Builder, arguments: Arguments) -> fx.Node:
    return build.add("leaky_relu", arguments["x"], arguments["alpha"])


def _prelu(build: Builder, arguments: Arguments) -> fx.Node:
    return build.add("prelu", arguments["x"], arguments["alpha"])


def _sigmoid_hard(build: Builder, arguments: Arguments) -> fx.Node:
    """PyTorch's `hardsigmoid` has x / 6 + 1 / 2; another is what it is made of."""
    x, alpha, beta = arguments["x"], arguments["alpha"], arguments["beta"]
    if is_sixth(alpha) and beta == 0.5:
        return build.add("hardsigmoid", x)
    scaled = build.add("mul.Tensor", x, alpha)
    return clamped(build, build.add("add.Tensor", scaled, beta), 0.0, 1.0)


def _softmax(build: Builder, arguments: Arguments) -> fx.Node:
    return softmax(build, arguments["x"], int(arguments["axis"]))


def is_sixth(number: float) -> bool:
    """Whether a number is 1/6, as fp32 has it."""
    return float(np.float32(number)) == SIXTH


ACTIVATIONS: Final[Mapping[str, Entry]] = {
    "clip": _clip,
    "elu": _elu,
    "gelu": _gelu,
    "hardswish": _same("hardswish"),  # by `export.formats.coreml.lifting.composites`
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "relu": _same("relu"),
    "relu6": lambda build, arguments: clamped(build, arguments["x"], 0.0, 6.0),
    "sigmoid": _same("sigmoid"),
    "sigmoid_hard": _sigmoid_hard,
    "silu": _same("silu"),
    "softmax": _softmax,
    "softplus": _same("softplus"),
    "tanh": _same("tanh"),
}
