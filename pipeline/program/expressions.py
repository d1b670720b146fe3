"""The nodes of a program as expressions that can be compared with those of another.

An expression is what is computed and of what: an operation, its attributes and its inputs. For one
image it is in a form in which harmless differences are gone: names, the order of independent nodes,
identities, how a shape was written; what does not depend on the input is one tensor. Equal
expressions have equal numbers (hash-consing), whatever program they stand in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, fx

from pipeline.program.operations import COMMUTATIVE, LENGTH, arguments_of, operation_of
from pipeline.program.program import shapes

if TYPE_CHECKING:
    from pipeline.program.operations import Value
    from pipeline.program.program import Program

DEPTH: Final = 8  # to which two expressions are compared to say how much they are alike
# The result is the first input, if it has the same shape.
KEEPING: Final = ("reshape", "expand", "slice.Tensor")
NEUTRAL: Final = {"add.Tensor": 0, "sub.Tensor": 0, "mul.Tensor": 1, "div.Tensor": 1}


@dataclass(frozen=True, eq=False)
class Expression:
    """What a node computes.

    Attributes:
        node: its node.
        kind: the operation, ``input`` or ``tensor``.
        attributes: those of the operation that are no inputs.
        inputs: in the order of the arguments.
        tensor: the numbers, where it does not depend on the input.
        names: of the tensors that these are made of.
        alike: its number when nothing below a depth counts, for each depth up to `DEPTH`; at the
            end its number when all counts.
    """

    node: fx.Node
    kind: str
    attributes: dict[str, object] = field(default_factory=dict)
    inputs: tuple[Expression, ...] = ()
    tensor: Tensor | None = None
    names: tuple[str, ...] = ()
    alike: list[int] = field(default_factory=list)

    @property
    def whole(self) -> int:
        """Equal for equal expressions, and for no others."""
        return self.alike[-1]

    def likeness(self, other: Expression) -> int:
        """To which depth two are alike; 0: not even the operation with its attributes is."""
        pairs = zip(self.alike, other.alike, strict=True)
        return sum(1 for a, b in pairs if a == b)


class Numbers(dict[Hashable, int]):
    """A number for every key, the same for the same key."""

    def __missing__(self, key: Hashable) -> int:
        self[key] = len(self)
        return self[key]


def expressions(program: Program, numbers: Numbers, *, half: bool) -> list[Expression]:
    """Those of the program's outputs, for one image; with `half` tensors are rounded to fp16."""
    lengths = shapes(program)
    tensors = program.tensors()
    found: dict[fx.Node, Expression] = {}
    for node in program.network.graph.nodes:
        if node.op == "placeholder":
            made = Expression(node, "input")
        elif node.op == "get_attr":
            name = str(node.target)
            made = Expression(node, "tensor", tensor=tensors[name], names=(name,))
        elif node.op == "call_function" and operation_of(node) != LENGTH:
            made = _operation(node, found, lengths)
        else:
            continue
        if not made.alike:
            _count(made, numbers, half)
        found[node] = made
    return [found[node] for node in program.outputs()]


def _operation(
    node: fx.Node, found: dict[fx.Node, Expression], lengths: dict[fx.Node, tuple[int, ...]]
) -> Expression:
    operation, arguments = str(operation_of(node)), arguments_of(node)
    inputs = tuple(found[n] for n in _nodes(list(arguments.values())) if n in found)
    first = inputs[0]
    if _is_identity(operation, arguments, lengths[node], lengths[_input(node)]):
        return first
    if all(each.tensor is not None for each in inputs):
        return _constant(node, inputs, found)
    attributes = {key: _attribute(value) for key, value in arguments.items()}
    if operation in ("reshape", "expand"):
        attributes = {"shape": lengths[node]}
    if operation != first.kind or operation not in ("reshape", "permute"):
        return Expression(node, operation, attributes, inputs)
    # Two in a row are one.
    (before,) = first.inputs
    if operation == "reshape" and lengths[node] == lengths[before.node]:
        return before
    if operation == "permute":
        inner: Any = first.attributes["dims"]
        outer: Any = arguments["dims"]
        order = [inner[axis] for axis in outer]
        if order == sorted(order):
            return before
        attributes = {"dims": tuple(order)}
    return Expression(node, operation, attributes, first.inputs)


def _is_identity(
    operation: str,
    arguments: dict[str, Value],
    after: tuple[int, ...],
    before: tuple[int, ...],
) -> bool:
    if operation in KEEPING:
        return after == before
    if operation == "permute":
        return arguments["dims"] == list(range(len(after)))
    if operation == "constant_pad_nd":
        pad = arguments["pad"]
        return isinstance(pad, list) and not any(pad)
    return operation in NEUTRAL and arguments["other"] == NEUTRAL[operation]


def _constant(
    node: fx.Node, inputs: tuple[Expression, ...], found: dict[fx.Node, Expression]
) -> Expression:
    args, kwargs = fx.map_arg(
        (node.args, node.kwargs), lambda n: found[n].tensor if n in found else 1
    )
    target: Any = node.target
    with torch.no_grad():
        tensor = target(*args, **kwargs)
    names = tuple(dict.fromkeys(name for each in inputs for name in each.names))
    return Expression(node, "tensor", tensor=tensor, names=names)


def _count(made: Expression, numbers: Numbers, half: bool) -> None:
    label: Hashable = (made.kind, tuple(sorted(made.attributes.items())))
    if made.tensor is not None:
        label = ("tensor", tuple(made.tensor.shape), _digest(stored(made.tensor, half)))
    made.alike.append(numbers[label])
    for depth in range(DEPTH):
        of_inputs = [each.alike[depth] for each in made.inputs]
        made.alike.append(numbers[label, depth, _ordered(made.kind, of_inputs)])
    wholes = [each.whole for each in made.inputs]
    made.alike.append(numbers[label, "whole", _ordered(made.kind, wholes)])


def stored(tensor: Tensor, half: bool) -> Tensor:
    """The numbers as they are compared: float32, rounded to fp16 first if that is told."""
    if not tensor.is_floating_point():
        return tensor
    return tensor.half().float() if half else tensor.float()


def _digest(tensor: Tensor) -> bytes:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).digest()


def _ordered(kind: str, numbers: list[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers) if kind in COMMUTATIVE else numbers)


def _attribute(value: Value) -> Hashable:
    """A value that is not an input, floats as fp32 as files store them; an input is its place."""
    if isinstance(value, fx.Node):
        return "input"
    if isinstance(value, list):
        return tuple(_attribute(item) for item in value)
    return float(np.float32(value)) if isinstance(value, float) else value


def _nodes(value: Value) -> list[fx.Node]:
    if isinstance(value, fx.Node):
        return [value]
    return [n for item in value for n in _nodes(item)] if isinstance(value, list) else []


def _input(node: fx.Node) -> fx.Node:
    return node.all_input_nodes[0]
