"""Arithmetic, place by place, with numpy's broadcasting.

Formulas: docstrings of coremltools 9.0, ops/defs/iOS15/elementwise_binary.py and
elementwise_unary.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import Arguments, tensor


def _binary(compute: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda arguments: compute(tensor(arguments["x"]), tensor(arguments["y"]))


def _unary(compute: Callable[[Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    return lambda arguments: compute(tensor(arguments["x"]))


def _shifted(compute: Callable[[Tensor], Tensor]) -> Callable[[Arguments], Tensor]:
    """Of x + epsilon, which keeps a logarithm or a divisor from zero."""
    return lambda arguments: compute(tensor(arguments["x"]) + tensor(arguments["epsilon"]))


def _cast(arguments: Arguments) -> Tensor:
    """Between fp16 and fp32: the declared output type rounds."""
    kind = arguments["dtype"]
    if kind not in ("fp16", "fp32"):
        raise ValueError(f"dtype {kind}")
    return tensor(arguments["x"]).to(torch.float32)


def _select(arguments: Arguments) -> Tensor:
    """A where the condition holds, b elsewhere."""
    condition = tensor(arguments["cond"]).to(torch.bool)
    return torch.where(condition, tensor(arguments["a"]), tensor(arguments["b"]))


ARITHMETIC: Final[Mapping[str, Callable[[Arguments], Tensor]]] = {
    "abs": _unary(torch.abs),
    "add": _binary(torch.add),
    "cast": _cast,
    "equal": _binary(torch.eq),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "inverse": _shifted(torch.reciprocal),
    "log": _shifted(torch.log),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "mul": _binary(torch.mul),
    "not_equal": _binary(torch.ne),
    "pow": _binary(torch.pow),
    "real_div": _binary(torch.div),
    "rsqrt": _shifted(torch.rsqrt),
    "select": _select,
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "sub": _binary(torch.sub),
}
