"""Writes a program's graph, operation by operation, and knows the shape of each result.

The network has been followed twice, with two images and with three. A number that is the same both
times belongs to the network; one that is not is a length that `Grows` with the images. A value that
does not depend on the input is no operation but a constant, computed here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, fx

from pipeline.errors import BadInput
from pipeline.program.operations import COMMUTATIVE, LENGTH, OPERATIONS, ROUND, bound, call
from pipeline.program.program import INPUT, MODULE

IMAGES: Final = (2, 3)  # torch.export takes 1 for a number that never changes
BINARY: Final = COMMUTATIVE | {"sub.Tensor", "div.Tensor"}
VALUE: Final = "values"  # in a node's `meta`: its result for each of `IMAGES`, without numbers


@dataclass(frozen=True)
class Grows:
    """A length that depends on the number of images, for each of `IMAGES`."""

    lengths: tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """A constant that has rows for the images, for each of `IMAGES`."""

    tensors: tuple[Any, Any]


Length: TypeAlias = int | Grows


class Builder:
    """A graph in the making.

    Attributes:
        graph: so far.
        tensors: that its ``get_attr`` nodes name.
        place: name of the module whose operations are being written.
    """

    def __init__(
        self,
        side: tuple[int, int],
        taken: Collection[str] = (),
        images: tuple[int, int] = IMAGES,
    ) -> None:
        """`images`: the same number twice for a graph of that many, in which no length grows."""
        self.graph = fx.Graph()
        self.tensors: dict[str, Tensor] = {}
        self.place = ""
        self._holders: dict[str, fx.Node] = {}
        self._taken = set(taken)
        self._constants: dict[int, str] = {}
        self._length: fx.Node | None = None
        self.pixels = self.graph.placeholder(INPUT)
        self.pixels.meta[VALUE] = [torch.empty(n, 3, *side, device="meta") for n in images]

    def add(self, operation: str, *args: Any, **kwargs: Any) -> fx.Node:
        """One operation on nodes, constants and numbers.

        Raises:
            BadInput: an argument that the operation does not take.
        """
        if operation in BINARY:
            args = self._number_last(operation, *args)
        args, kwargs = self._given((args, kwargs))
        by_place, by_name = call(operation, bound(operation, args, kwargs))
        target = OPERATIONS[operation]
        name = f"{self.place}.{operation.partition('.')[0]}".lstrip(".").replace(".", "_")
        node = self.graph.create_node("call_function", target, by_place, by_name, name=name)
        node.meta = {VALUE: [], MODULE: self.place}
        for i in range(len(IMAGES)):

            def meta(n: fx.Node, i: int = i) -> Any:
                return n.meta[VALUE][i]

            metas: Any = fx.map_arg((node.args, node.kwargs), meta)
            # torch cannot tell the shape of this one without numbers.
            found = metas[0][0] if operation == ROUND else target(*metas[0], **metas[1])
            node.meta[VALUE].append(found)
        return node

    def hold(self, name: str, tensor: Tensor) -> fx.Node:
        """The node of a tensor; the same one for the same name."""
        if name not in self._holders:
            self.tensors[name] = tensor
            node = self.graph.create_node("get_attr", name, name=name.replace(".", "_"))
            node.meta[VALUE] = [tensor.detach().to("meta")] * len(IMAGES)
            self._holders[name] = node
        return self._holders[name]

    def named(self, name: str, constant: Tensor) -> Tensor:
        """The constant, which keeps its name if an operation takes it as it is."""
        self._constants[id(constant)] = name
        return constant

    def node(self, value: fx.Node | Tensor | Rows) -> fx.Node:
        """The node of a value; a constant becomes one here."""
        if isinstance(value, fx.Node):
            return value
        if isinstance(value, Rows):
            row, axis = _row(value)
            sizes = [Grows(IMAGES) if i == axis else -1 for i in range(row.dim())]
            return self.add("expand", row, sizes)
        if id(value) not in self._constants:
            fresh = (f"constant_{i}" for i in count())
            self.named(next(name for name in fresh if name not in self._taken), value)
            self._taken.add(self._constants[id(value)])
        return self.hold(self._constants[id(value)], value)

    def _number_last(self, operation: str, first: Any, second: Any) -> tuple[Any, Any]:
        """The two inputs of arithmetic: a constant second, as a number if it has no axes."""
        if not isinstance(first, fx.Node) and operation in COMMUTATIVE:
            first, second = second, first
        if isinstance(second, Rows):  # one row is stretched by the sum or product itself
            row, axis = _row(second)
            shape = shape_of(first)
            second = row if len(shape) == row.dim() and shape[axis] == Grows(IMAGES) else second
        if isinstance(second, Tensor) and second.dim() == 0:
            second = second.item()
        return first, second

    def _given(self, value: Any) -> Any:
        if isinstance(value, tuple):  # all arguments
            return tuple(map(self._given, value))
        if isinstance(value, list):  # lengths, or nodes
            return [self._images(n) if isinstance(n, Grows) else self._given(n) for n in value]
        if isinstance(value, dict):
            return {key: self._given(item) for key, item in value.items()}
        if isinstance(value, Tensor | Rows):
            return self.node(value)
        if isinstance(value, Grows):
            raise BadInput(f"a number that changes with the number of images, {value.lengths}")
        return value

    def _images(self, length: Grows) -> fx.Node:
        """The node of the number of images; no other length that grows is an operation."""
        if length.lengths != IMAGES:
            raise BadInput(f"a length that grows with the images, {length.lengths} for {IMAGES}")
        if self._length is None:
            with self.graph.inserting_after(self.pixels):
                self._length = self.graph.call_function(OPERATIONS[LENGTH], (self.pixels, 0))
            self._length.meta = {VALUE: list(IMAGES), MODULE: ""}
        return self._length


def shape_of(x: fx.Node | Tensor) -> list[Length]:
    """Of a node's result or of a constant."""
    tensors = [x, x] if isinstance(x, Tensor) else x.meta[VALUE]
    return [
        a if a == b else Grows((a, b)) for a, b in zip(*(t.shape for t in tensors), strict=True)
    ]


def axis_of(x: fx.Node | Tensor, axis: int) -> int:
    """An axis counted from the front."""
    return axis % len(shape_of(x))


def length_of(x: fx.Node | Tensor, axis: int) -> int:
    """The length of an axis.

    Raises:
        BadInput: it grows with the images.
    """
    length = shape_of(x)[axis]
    if isinstance(length, Grows):
        raise BadInput("a choice among the images")
    return length


def computed(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """What a function makes of constants."""
    found = []
    for i in range(len(IMAGES)):
        with torch.no_grad():
            found.append(function(*at(args, i), **at(kwargs, i)))
    return together(*found)


def at(value: Any, i: int) -> Any:
    """A value, or a structure of them, for one of `IMAGES`."""
    if isinstance(value, tuple | list):
        return type(value)(at(item, i) for item in value)
    if isinstance(value, dict):
        return {key: at(item, i) for key, item in value.items()}
    if isinstance(value, Rows):
        return value.tensors[i]
    return value.lengths[i] if isinstance(value, Grows) else value


def together(one: Any, other: Any) -> Any:
    """A value for each of `IMAGES` as one: what `at` takes apart.

    Raises:
        BadInput: it is neither the same nor a length or rows that grow.
    """
    if isinstance(one, tuple | list) and isinstance(other, tuple | list) and len(one) == len(other):
        return type(one)(together(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return {key: together(item, other[key]) for key, item in one.items()}
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one if one.shape == other.shape and torch.equal(one, other) else Rows((one, other))
    if type(one) is type(other) and one == other:
        return one
    if type(one) is int and type(other) is int:
        return Grows((one, other))
    raise BadInput(f"a value that changes with the number of images, {one} and {other}")


def _row(rows: Rows) -> tuple[Tensor, int]:
    """The row that all images share, and the axis of rows."""
    shapes = [tensor.shape for tensor in rows.tensors]
    axes = [i for i, lengths in enumerate(zip(*shapes, strict=False)) if lengths == IMAGES]
    if len(axes) == 1:
        row: Tensor = rows.tensors[0].narrow(axes[0], 0, 1)
        if all(t.dim() == row.dim() and torch.equal(row.expand_as(t), t) for t in rows.tensors):
            return row.contiguous(), axes[0]
    raise BadInput(f"a constant that is another for each number of images, {shapes}")
