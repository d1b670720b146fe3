"""Arithmetic, place by place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from torch import fx

from export.formats.coreml.lifting.arguments import Arguments, Entry, unknown_use
from pipeline.program.arithmetic_rules import at_least, at_most, taken_from
from pipeline.program.shape_rules import Rule

if TYPE_CHECKING:
    from pipeline.program.builder import Builder

FLOATS: Final = ("fp16", "fp32")


def _binary(operation: str) -> Entry:
    return lambda build, arguments: build.add(operation, arguments["x"], arguments["y"])


def _unary(operation: str) -> Entry:
    return lambda build, arguments: build.add(operation, arguments["x"])


def _cast(_: Builder, arguments: Arguments) -> fx.Node:
    """Between fp16 and fp32 nothing is computed."""
    if arguments["dtype"] not in FLOATS:
        raise unknown_use("cast", f"dtype {arguments['dtype']}")
    made: fx.Node = arguments["x"]
    return made


def _sub(build: Builder, arguments: Arguments) -> fx.Node:
    x, y = arguments["x"], arguments["y"]
    return build.add("sub.Tensor", x, y) if isinstance(x, fx.Node) else taken_from(build, y, x)


def _real_div(build: Builder, arguments: Arguments) -> fx.Node:
    x, y = arguments["x"], arguments["y"]
    if not isinstance(x, fx.Node):
        raise unknown_use("real_div", f"the number {x} to be divided")
    return build.add("div.Tensor", x, y)


def _bounded(operation: str, by_number: Rule) -> Entry:
    """The larger or smaller of two; of one and a number, a bound."""

    def entry(build: Builder, arguments: Arguments) -> fx.Node:
        x, y = arguments["x"], arguments["y"]
        if not isinstance(x, fx.Node):
            x, y = y, x
        made: fx.Node = (
            build.add(operation, x, y) if isinstance(y, fx.Node) else by_number(build, x, y)
        )
        return made

    return entry


def _pow(build: Builder, arguments: Arguments) -> fx.Node:
    exponent = arguments["y"]
    if isinstance(exponent, fx.Node):
        raise unknown_use("pow", "an exponent that is computed")
    return build.add("pow.Tensor_Scalar", arguments["x"], exponent)


ARITHMETIC: Final[Mapping[str, Entry]] = {
    "abs": _unary("abs"),
    "add": _binary("add.Tensor"),
    "cast": _cast,
    "exp": _unary("exp"),
    "maximum": _bounded("maximum", at_least),
    "minimum": _bounded("minimum", at_most),
    "mul": _binary("mul.Tensor"),
    "pow": _pow,
    "real_div": _real_div,
    "sqrt": _unary("sqrt"),
    "square": lambda build, arguments: build.add("pow.Tensor_Scalar", arguments["x"], 2),
    "sub": _sub,
}
