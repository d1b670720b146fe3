"""Operations number by number."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor, fx

from export.formats.onnx.lifting.call import Call, Entry, Result, Value
from pipeline.program.arithmetic_rules import clamped
from pipeline.program.operations import operation_of

SIXTH: Final = 1 / 6


def plain(operation: str) -> Entry:
    """An entry for an operation of one input, the same on both sides."""

    def entry(call: Call) -> Result:
        return call.build.add(operation, call.x)

    return entry


def arithmetic(operation: str) -> Entry:
    """An entry for a sum, difference, product or quotient."""

    def entry(call: Call) -> Result:
        x, y = call.inputs
        if isinstance(x, Tensor) and operation == "sub.Tensor":  # y taken from a constant
            return call.build.add("add.Tensor", call.build.add("neg", y), x)
        if isinstance(x, Tensor) and operation == "div.Tensor":
            return call.build.add(operation, call.build.node(x), y)
        return call.build.add(operation, x, y)

    return entry


def extreme(operation: str) -> Entry:
    """An entry for the larger or smaller of two."""

    def entry(call: Call) -> Result:
        if len(call.inputs) != 2:
            raise call.unknown(f"of {len(call.inputs)} inputs")
        return call.build.add(operation, call.value(0), call.value(1))

    return entry


def clip(call: Call) -> Result:
    """Between two numbers, or beyond one."""
    low = call.attribute("min") if "min" in call.node.attributes else call.number(1)
    high = call.attribute("max") if "max" in call.node.attributes else call.number(2)
    low = None if low is None or low == -math.inf else low
    high = None if high is None or high == math.inf else high
    return clamped(call.build, call.x, low, high)


def hard_sigmoid(call: Call) -> Result:
    """Alpha x + beta between 0 and 1; torch's has alpha 1/6."""
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    if abs(alpha - SIXTH) > 1e-6 or beta != 0.5:
        raise call.unknown(f"with alpha {alpha} and beta {beta}")
    return call.build.add("hardsigmoid", call.x)


def leaky_relu(call: Call) -> Result:
    """A fixed slope below zero."""
    return call.build.add("leaky_relu", call.x, call.attribute("alpha", 0.01))


def elu(call: Call) -> Result:
    """Alpha (e^x - 1) below zero."""
    return call.build.add("elu", call.x, call.attribute("alpha", 1.0), 1.0, 1.0)


def gelu(call: Call) -> Result:
    """By the error function or by tanh."""
    approximate = call.attribute("approximate", "none")
    return call.build.add("gelu", call.x, approximate=approximate)


def softplus(call: Call) -> Result:
    """log(1 + e^x)."""
    return call.build.add("softplus", call.x, 1.0, 20.0)


def power(call: Call) -> Result:
    """To a constant power."""
    exponent = call.number(1)
    if exponent is None:
        raise call.unknown("without an exponent")
    return call.build.add("pow.Tensor_Scalar", call.x, exponent)


def reciprocal(call: Call) -> Result:
    """1 / x; of a root it is one operation in torch."""
    x: Any = call.x
    if operation_of(x) == "sqrt":
        return call.build.add("rsqrt", x.args[0])
    return call.build.add("div.Tensor", call.build.node(torch.ones(())), x)


def cast(call: Call) -> Result:
    """To the type that the numbers have already."""
    call.only("to", 1)  # float32
    call.only("saturate", 1)
    return call.x


def same(call: Call) -> Result:
    """Nothing; of a dropout its mask is not asked for."""
    for name in call.node.attributes:
        call.attribute(name)
    if len([name for name in call.node.outputs if name]) > 1:
        raise call.unknown("with a mask as output")
    x = call.inputs[0]
    return x if isinstance(x, fx.Node | Tensor) else call.x


def shape(call: Call) -> Value:
    """A constant: every length is fixed."""
    start, end = call.attribute("start", 0), call.attribute("end")
    return torch.tensor(call.shape()[start:end], dtype=torch.int64)
