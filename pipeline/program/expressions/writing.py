"""The nodes of a program as expressions that can be compared with those of another.

For one image they are in a form in which harmless differences are gone: names, the order of
independent nodes, identities, and the several ways to write one thing
(`pipeline.program.expressions.spellings`); what does not depend on the input is one tensor. Equal
expressions have equal numbers (hash-consing), whatever program they stand in.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, fx

from pipeline.program.expressions.expression import INPUT, Expression, Numbers, count, stored
from pipeline.program.expressions.spellings import SPELLINGS
from pipeline.program.operations import LENGTH, arguments_of, operation_of

if TYPE_CHECKING:
    from pipeline.program.operations import Value
    from pipeline.program.program import Program

AXES: Final = {"dim", "dims"}  # arguments that are axes of the first input


def expressions(program: Program, numbers: Numbers, *, half: bool) -> list[Expression]:
    """Those of the program's outputs, for one image; with `half` tensors are rounded to fp16."""
    lengths = program.lengths
    tensors = program.tensors()
    write = Writer(numbers, half)
    found: dict[fx.Node, Expression] = {}
    for node in program.network.graph.nodes:
        if node.op == "placeholder":
            found[node] = write.one(Expression(node, "input", lengths[node.name]))
        elif node.op == "get_attr":
            name = str(node.target)
            found[node] = write.tensor(node, tensors[name], (name,))
        elif node.op == "call_function" and operation_of(node) != LENGTH:
            found[node] = _operation(node, found, lengths[node.name], write)
    return [found[node] for node in program.outputs()]


class Writer:
    """Writes expressions, each in the one way that stands for all."""

    def __init__(self, numbers: Numbers, half: bool) -> None:
        self._numbers = numbers
        self._half = half

    def one(self, made: Expression) -> Expression:
        """An expression with its numbers, as it is."""
        count(made, self._numbers, self._half)
        return made

    def tensor(self, node: fx.Node, numbers: Tensor, names: tuple[str, ...]) -> Expression:
        """What does not depend on the input."""
        shape = tuple(numbers.shape)
        return self.one(Expression(node, "tensor", shape, tensor=numbers, names=names))

    def stored(self, numbers: Tensor) -> Tensor:
        """Numbers as a file has them, before anything is computed of them."""
        return stored(numbers, self._half)

    def operation(
        self,
        node: fx.Node,
        kind: str,
        shape: tuple[int, ...],
        attributes: dict[str, object],
        inputs: tuple[Expression, ...],
    ) -> Expression:
        """An operation on expressions that are written already."""
        made = Expression(node, kind, shape, attributes, inputs)
        for spelling in SPELLINGS.get(kind, ()):
            other = spelling(self, made)
            if other is not None:
                return other
        return self.one(made)


def _operation(
    node: fx.Node, found: dict[fx.Node, Expression], shape: tuple[int, ...], write: Writer
) -> Expression:
    arguments = arguments_of(node)
    inputs = tuple(found[n] for n in _nodes(list(arguments.values())) if n in found)
    if all(each.tensor is not None for each in inputs):
        return _constant(node, inputs, found, write)
    attributes: dict[str, object] = {key: _attribute(value) for key, value in arguments.items()}
    for key in AXES & attributes.keys():
        attributes[key] = _from_front(attributes[key], len(inputs[0].shape))
    if isinstance(over := attributes.get("dim"), tuple):
        attributes["dim"] = tuple(sorted(over))
    return write.operation(node, str(operation_of(node)), shape, attributes, inputs)


def _constant(
    node: fx.Node,
    inputs: tuple[Expression, ...],
    found: dict[fx.Node, Expression],
    write: Writer,
) -> Expression:
    args, kwargs = fx.map_arg(
        (node.args, node.kwargs), lambda n: found[n].tensor if n in found else 1
    )
    target: Any = node.target
    with torch.no_grad():
        tensor = target(*args, **kwargs)
    names = tuple(dict.fromkeys(name for each in inputs for name in each.names))
    return write.tensor(node, tensor, names)


def _attribute(value: Value) -> Hashable:
    """A value that is not an input, floats as fp32 as files store them; an input is its place."""
    if isinstance(value, fx.Node):
        return INPUT
    if isinstance(value, list):
        return tuple(_attribute(item) for item in value)
    return float(np.float32(value)) if isinstance(value, float) else value


def _from_front(axes: object, rank: int) -> object:
    """Axes that may be counted from the end."""
    if isinstance(axes, tuple):
        return tuple(_from_front(axis, rank) for axis in axes)
    return axes % rank if isinstance(axes, int) else axes


def _nodes(value: Value) -> list[fx.Node]:
    if isinstance(value, fx.Node):
        return [value]
    return [n for item in value for n in _nodes(item)] if isinstance(value, list) else []
