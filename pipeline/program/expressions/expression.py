"""An expression: what is computed and of what, with a number that equal expressions share."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor, fx

from pipeline.program.operations import COMMUTATIVE

INPUT: Final = "input"  # an attribute that is one of the inputs
DEPTH: Final = 8  # to which two expressions are compared to say how much they are alike


@dataclass(frozen=True, eq=False)
class Expression:
    """What a node computes.

    Attributes:
        node: its node.
        kind: the operation, ``input`` or ``tensor``.
        shape: of the result for one image.
        attributes: those of the operation that are no inputs.
        inputs: in the order of the arguments.
        tensor: the numbers, where it does not depend on the input.
        names: of the tensors that these are made of.
        alike: its number when nothing below a depth counts, for each depth up to `DEPTH`; at the
            end its number when all counts.
    """

    node: fx.Node
    kind: str
    shape: tuple[int, ...]
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


def count(made: Expression, numbers: Numbers, half: bool) -> None:
    """Give an expression whose inputs have their numbers its own; `half`: see `stored`."""
    label: Hashable = (made.kind, tuple(sorted(made.attributes.items())))
    if made.kind == "input":
        label = ("input", made.shape)
    if made.tensor is not None:
        held = stored(made.tensor, half)
        label = ("tensor", tuple(held.shape), str(held.dtype), _digest(held))
    made.alike.append(numbers[label])
    for depth in range(DEPTH):
        of_inputs = [each.alike[depth] for each in made.inputs]
        made.alike.append(numbers[label, depth, _ordered(made.kind, of_inputs)])
    wholes = [each.whole for each in made.inputs]
    made.alike.append(numbers[label, "whole", _ordered(made.kind, wholes)])


def stored(tensor: Tensor, half: bool) -> Tensor:
    """The numbers as they are compared: float32, rounded to fp16 first if that is told.

    0 has no sign: integers do not keep one, and nothing but a division by it tells.
    """
    if not tensor.is_floating_point():
        return tensor
    return (tensor.half().float() if half else tensor.float()) + 0.0


def _digest(tensor: Tensor) -> bytes:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).digest()


def _ordered(kind: str, numbers: list[int]) -> tuple[int, ...]:
    return tuple(sorted(numbers) if kind in COMMUTATIVE else numbers)
