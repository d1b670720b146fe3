"""What the writer does to any network on purpose, done to the program that a file should have.

In: the expected program. Out: a copy that computes the same function in the words of coremltools
9.0, so that the file's program can be compared with it number by number:

- a division by a constant is a product with its reciprocal, rounded once to fp32
  (`divide_to_multiply`);
- a tensor of one number in arithmetic is that number, if it has at most one axis;
- the opposite of x is x times -1;
- slopes of a `prelu` that are all the same are one number (`prelu_to_lrelu`);
- padding is told for each axis that has any, and no other;
- permutes stand as late as they can (`reduce_transposes`, see `permutes`);
- numbers of an fp16 program are fp16, and are read as `before_rounding` reads them.

What is not listed and changes numbers is a difference, and is told as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import fx

from export.formats.coreml.evaluator.values import before_rounding
from export.formats.coreml.lifting.draft import Draft
from export.formats.coreml.lifting.permutes import with_late_permutes
from export.formats.coreml.lifting.shapes import without_zeros
from pipeline.program.operations import (
    COMMUTATIVE,
    arguments_of,
    operation_of,
)
from pipeline.program.program import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def as_written(program: Program, *, half: bool) -> Program:
    """A copy of a program as coremltools writes it; `half`: with arithmetic in fp16.

    Its `sources` still name the tensors that are numbers now.
    """
    written = Draft(program)
    for node in list(written.graph.nodes):
        rewrite = REWRITES.get(str(operation_of(node)))
        if rewrite is not None:
            rewrite(written, node)
    if half:
        for node in written.graph.nodes:
            if operation_of(node) is not None:
                _round_numbers(node)
    return with_late_permutes(written.program())


def _with_number(written: Draft, node: fx.Node) -> None:
    parts = [arguments_of(node)[name] for name in ("self", "other")]
    for i, part in enumerate(parts):
        if not isinstance(part, fx.Node) or part.op != "get_attr":
            continue
        held = written.tensors[str(part.target)].detach()
        other = parts[1 - i]
        last = i == 1 or operation_of(node) in COMMUTATIVE
        if held.dim() <= 1 and held.numel() == 1 and last and isinstance(other, fx.Node):
            written.write(node, str(operation_of(node)), other, float(held))
            return


def _by_reciprocal(written: Draft, node: fx.Node) -> None:
    _with_number(written, node)
    x, divisor = (arguments_of(node)[name] for name in ("self", "other"))
    if isinstance(divisor, int | float):
        written.write(node, "mul.Tensor", x, float(np.float32(1) / np.float32(divisor)))
    elif isinstance(divisor, fx.Node) and divisor.op == "get_attr":
        held = written.tensors[str(divisor.target)].detach()
        factor = written.hold(divisor, "reciprocal", torch.reciprocal(held))
        written.write(node, "mul.Tensor", x, factor)


def _opposite(written: Draft, node: fx.Node) -> None:
    written.write(node, "mul.Tensor", arguments_of(node)["self"], -1)


def _one_slope(written: Draft, node: fx.Node) -> None:
    x, weight = (arguments_of(node)[name] for name in ("self", "weight"))
    assert isinstance(weight, fx.Node)
    if weight.op == "get_attr":
        slopes = written.tensors[str(weight.target)].detach().reshape(-1)
        if bool((slopes == slopes[0]).all()):
            written.write(node, "leaky_relu", x, float(slopes[0]))


def _padded(written: Draft, node: fx.Node) -> None:
    x, pad, value = (arguments_of(node)[name] for name in ("self", "pad", "value"))
    if isinstance(pad, list):
        written.write(node, "constant_pad_nd", x, without_zeros(pad), value)


def _round_numbers(node: fx.Node) -> None:
    def rounded(value: Any) -> Any:
        number = isinstance(value, float) and abs(value) <= HALF_MOST
        return before_rounding(np.float16(value)) if number else value

    if any(map(_vanishes, (*node.args, *node.kwargs.values()))):
        return  # `export.formats.coreml.fp32_places`
    node.args = tuple(rounded(value) for value in node.args)
    node.kwargs = {name: rounded(value) for name, value in node.kwargs.items()}


def _vanishes(value: Any) -> bool:
    return isinstance(value, float) and value != 0 and float(np.float16(value)) == 0


HALF_MOST: Final = float(np.finfo(np.float16).max)
REWRITES: Final[Mapping[str, Callable[[Draft, fx.Node], None]]] = {
    "add.Tensor": _with_number,
    "sub.Tensor": _with_number,
    "mul.Tensor": _with_number,
    "constant_pad_nd": _padded,
    "div.Tensor": _by_reciprocal,
    "neg": _opposite,
    "prelu": _one_slope,
}
