"""One node being lifted: what its entry in the table asks of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, fx

from export.errors import CannotRunHere, Unreadable
from pipeline.program.builder import length_of, shape_of

if TYPE_CHECKING:
    from export.formats.onnx.lifting.graph import Node
    from pipeline.program.builder import Builder


@dataclass(frozen=True)
class Grid:
    """What codes of 8 bits stand for: (code - zero_point) scale.

    Attributes:
        scale: rounded to float32.
        zero_point: 0 to 255.
    """

    scale: float
    zero_point: int

    def __str__(self) -> str:
        return f"scale {self.scale:.6g} and zero point {self.zero_point}"


@dataclass(frozen=True)
class Coded:
    """A value that is uint8 in the file, as the numbers that it stands for."""

    numbers: fx.Node
    grid: Grid


Value: TypeAlias = fx.Node | Tensor | Coded
Result: TypeAlias = Value | Sequence[Value]


@dataclass
class Call:
    """A node with what its inputs are.

    Attributes:
        build: writes the program.
        node: of the file.
        inputs: what was computed before, or a constant; None for one that is left out.
    """

    build: Builder
    node: Node
    inputs: Sequence[Value | None]
    _read: set[str] = field(default_factory=set)

    @property
    def x(self) -> fx.Node:
        """The first input."""
        return self.value(0)

    def has(self, place: int) -> bool:
        """Whether an input is given."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def value(self, place: int) -> fx.Node:
        """An input as a node of the program.

        Raises:
            CannotRunHere: it is codes, and the entry does not say what it does with these.
            Unreadable: it is left out.
        """
        given = self.inputs[place] if self.has(place) else None
        if given is None:
            raise Unreadable(f"{self.node.place} lacks an input")
        if isinstance(given, Coded):
            raise self.unknown("of codes")
        return self.build.node(given)

    def tensor(self, place: int) -> Tensor | None:
        """An input that must be constant; None if it is left out.

        Raises:
            CannotRunHere: it depends on the image.
        """
        given = self.inputs[place] if self.has(place) else None
        if isinstance(given, fx.Node | Coded):
            raise self.unknown(f"with an input {place} that is computed")
        return given

    def required(self, place: int) -> Tensor:
        """The same of one that cannot be left out."""
        given = self.tensor(place)
        if given is None:
            raise Unreadable(f"{self.node.place} lacks an input")
        return given

    def numbers(self, place: int) -> list[int] | None:
        """Constant integers."""
        given = self.tensor(place)
        return None if given is None else [int(n) for n in given.reshape(-1)]

    def number(self, place: int) -> float | None:
        """A constant number."""
        given = self.tensor(place)
        return None if given is None else float(given.reshape(()))

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute; its default is ONNX's own (Operators.md)."""
        self._read.add(name)
        found = self.node.attributes.get(name, default)
        return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else found

    def only(self, name: str, *allowed: Any) -> None:
        """Refuse an attribute that is given with another value than these."""
        value = self.attribute(name, allowed[0])
        if value not in allowed:
            raise self.unknown(f"with {name} {value}")

    def shape(self, place: int = 0) -> list[int]:
        """Of an input."""
        given = self.value(place)
        return [length_of(given, axis) for axis in range(len(shape_of(given)))]

    def unknown(self, how: str = "") -> CannotRunHere:
        """To be raised: this node is not known here."""
        said = f"operation {self.node.operation} of ONNX {how}".rstrip()
        return CannotRunHere(f"{said} is not known here")

    def refuse_unread(self) -> None:
        """Raises CannotRunHere: the node has an attribute that its entry has not looked at."""
        for name in sorted(self.node.attributes.keys() - self._read):
            raise self.unknown(f"with {name}")


Entry = Callable[[Call], Result]


def reshaped(call: Call, x: fx.Node, shape: Sequence[int]) -> Value:
    """In another shape."""
    from pipeline.program.normal_form import RULES

    made: fx.Node = RULES[torch.ops.aten.reshape.default](call.build, x, list(shape))
    return made
