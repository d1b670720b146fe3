"""Spellings of what moves numbers and computes none."""

from __future__ import annotations

import math
from typing import Any

from pipeline.program.expressions.expression import Expression
from pipeline.program.expressions.spelling import Write
from pipeline.program.operations import COMMUTATIVE


def keeping(_: Write, made: Expression) -> Expression | None:
    """A reshape, stretch or slice to the same shape is nothing."""
    (x,) = made.inputs
    return x if made.shape == x.shape else None


def reshaped(write: Write, made: Expression) -> Expression | None:
    """A reshape is known by its result's shape; two in a row are one.

    One that takes axes apart does so before they change places.
    """
    (x,) = made.inputs
    if x.kind == "reshape":
        (before,) = x.inputs
        return reshape(write, before, made.shape, made)
    parts = _parts(x.shape, made.shape) if x.kind == "permute" else None
    if parts is not None:
        (inside,) = x.inputs
        order: Any = x.attributes["dims"]
        back = [order.index(axis) for axis in range(len(order))]
        shape = tuple(made.shape[i] for axis in back for i in parts[axis])
        places = [i for axis in back for i in parts[axis]]  # of the result's axes, before
        dims = tuple(places.index(i) for i in range(len(made.shape)))
        return permute(write, reshape(write, inside, shape, made), dims, made)
    if made.attributes.keys() == {"shape"}:
        return None
    return reshape(write, x, made.shape, made)


def _parts(before: tuple[int, ...], after: tuple[int, ...]) -> list[range] | None:
    """Which axes after a reshape each axis before it becomes; None if it does more than that."""
    parts, start = [], 0
    for length in before:
        stop = start + 1
        while math.prod(after[start:stop]) < length and stop < len(after):
            stop += 1
        if math.prod(after[start:stop]) != length:
            return None
        parts.append(range(start, stop))
        start = stop
    return parts if start == len(after) > len(before) else None


def reshape(write: Write, x: Expression, shape: tuple[int, ...], made: Expression) -> Expression:
    """An expression in another shape, at the node of another."""
    if x.shape == shape:
        return x
    if x.tensor is not None:
        return write.tensor(x.node, x.tensor.reshape(shape), x.names)
    return write.operation(made.node, "reshape", shape, {"shape": shape}, (x,))


def of_reshaped(write: Write, made: Expression) -> Expression | None:
    """What is computed number by number of reshaped values is reshaped itself.

    So it is where constants are the same along the axes that the reshape makes others of.
    """
    moved = [x for x in made.inputs if x.kind == "reshape"]
    shapes = {(x.inputs[0].shape, x.shape) for x in moved}
    if len(shapes) != 1:
        return None
    ((before, after),) = shapes
    same = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
    inputs = []
    for x in made.inputs:
        inside = x.inputs[0] if x.kind == "reshape" else _along_first(write, x, same, before, after)
        if inside is None:
            return None
        inputs.append(inside)
    shape = (*made.shape[:same], *before[same:])  # a constant may stretch the first axes
    found = write.operation(made.node, made.kind, shape, made.attributes, tuple(inputs))
    return reshape(write, found, made.shape, made)


def _along_first(
    write: Write, x: Expression, same: int, before: tuple[int, ...], after: tuple[int, ...]
) -> Expression | None:
    """A constant for values of one shape as one for the same values of another."""
    if x.tensor is None or len(x.shape) != len(after):
        return None
    if any(length != 1 for length in x.shape[same:]):
        return None
    lengths = (*x.shape[:same], *(1,) * (len(before) - same))
    return reshape(write, x, lengths, x)


def along_permuted(write: Write, made: Expression) -> Expression | None:
    """A slice or a softmax of values with axes in another order is one along another axis."""
    (x,) = made.inputs
    if x.kind != "permute":
        return None
    dims: Any = x.attributes["dims"]
    axis: Any = made.attributes["dim"]
    shape = tuple(made.shape[dims.index(i)] for i in range(len(dims)))
    attributes = {**made.attributes, "dim": dims[axis]}
    found = write.operation(made.node, made.kind, shape, attributes, x.inputs)
    return permute(write, found, dims, made)


def of_permuted(write: Write, made: Expression) -> Expression | None:
    """What is computed number by number has the order of axes of one of its inputs.

    Of those that have one, that is the first; where their order says nothing, it is chosen by what
    they are. Then it does not matter at which end of such operations axes change places.
    """
    turned = _turned(write, made)
    if turned is None:
        return None
    dims, inputs = turned
    before = tuple(made.shape[dims.index(axis)] for axis in range(len(dims)))
    found = write.operation(made.node, made.kind, before, made.attributes, inputs)
    return permute(write, found, dims, made)


def _turned(
    write: Write, made: Expression
) -> tuple[tuple[int, ...], tuple[Expression, ...]] | None:
    """The order in which a result has its axes, and the inputs before; None if it is as it is."""
    rank = len(made.shape)
    if all(x.kind != "permute" for x in made.inputs):
        return None
    computed = [x for x in made.inputs if x.tensor is None]
    in_order = [_in_order(x) for x in computed if sum(length != 1 for length in x.shape) > 1]
    if any(len(dims) != rank for _, dims in in_order):
        return None
    if made.kind in COMMUTATIVE:
        in_order.sort(key=lambda each: (each[0].alike, each[1]))
    _, dims = in_order[0]
    if dims == tuple(range(rank)):
        return None
    back = tuple(dims.index(axis) for axis in range(rank))
    return dims, tuple(_turned_back(write, x, back, made) for x in made.inputs)


def _in_order(x: Expression) -> tuple[Expression, tuple[int, ...]]:
    """An expression before its axes change places, and in which order it has them."""
    if x.kind != "permute":
        return x, tuple(range(len(x.shape)))
    dims: Any = x.attributes["dims"]
    return x.inputs[0], dims


def _turned_back(
    write: Write, x: Expression, back: tuple[int, ...], made: Expression
) -> Expression:
    lengths = (*(1,) * (len(back) - len(x.shape)), *x.shape)
    if sum(length != 1 for length in lengths) > 1:
        return permute(write, reshape(write, x, lengths, made), back, made)
    return reshape(write, x, tuple(lengths[axis] for axis in back), made)


def over_permuted(write: Write, made: Expression) -> Expression | None:
    """A mean, sum or maximum of values with axes in another order is one over other axes."""
    (x,) = made.inputs
    if x.kind != "permute" or not made.attributes["keepdim"]:
        return None
    dims: Any = x.attributes["dims"]
    over: Any = made.attributes["dim"]
    (inside,) = x.inputs
    axes = tuple(sorted(dims[axis] for axis in over))
    shape = tuple(1 if axis in axes else length for axis, length in enumerate(inside.shape))
    attributes = {**made.attributes, "dim": axes}
    found = write.operation(made.node, made.kind, shape, attributes, (inside,))
    return permute(write, found, dims, made)


def permute(write: Write, x: Expression, dims: tuple[int, ...], made: Expression) -> Expression:
    """An expression with its axes in another order, at the node of another."""
    if x.tensor is not None:
        return write.tensor(x.node, x.tensor.permute(dims), x.names)
    shape = tuple(x.shape[axis] for axis in dims)
    return write.operation(made.node, "permute", shape, {"self": "input", "dims": dims}, (x,))


def stretched(write: Write, made: Expression) -> Expression | None:
    """A stretch is known by its result's shape."""
    if made.attributes.keys() == {"shape"}:
        return None
    attributes: dict[str, object] = {"shape": made.shape}
    return write.operation(made.node, "expand", made.shape, attributes, made.inputs)


def permuted(write: Write, made: Expression) -> Expression | None:
    """Two in a row are one; one that moves axes of length 1 alone is a reshape."""
    (x,) = made.inputs
    order: Any = made.attributes["dims"]
    if x.kind == "permute":
        inner: Any = x.attributes["dims"]
        dims = tuple(inner[axis] for axis in order)
        return write.operation(
            made.node, "permute", made.shape, {**made.attributes, "dims": dims}, x.inputs
        )
    long = [axis for axis in order if x.shape[axis] != 1]
    return reshape(write, x, made.shape, made) if long == sorted(long) else None


def selected(write: Write, made: Expression) -> Expression | None:
    """One place of an axis is a slice, and a reshape."""
    (x,) = made.inputs
    axis: Any = made.attributes["dim"]
    place: Any = made.attributes["index"]
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    where = {"dim": axis, "start": place, "end": place + 1, "step": 1}
    part = write.operation(made.node, "slice.Tensor", shape, {"self": "input", **where}, (x,))
    return reshape(write, part, made.shape, made)


def joined(write: Write, made: Expression) -> Expression | None:
    """Parts of which one is joined itself, along the same axis, are joined at once.

    They have the order of axes of the first.
    """
    axis: Any = made.attributes["dim"]
    if turned := _turned(write, made):
        dims, before = turned
        shape = tuple(made.shape[dims.index(axis)] for axis in range(len(dims)))
        attributes = {**made.attributes, "dim": dims[axis]}
        found = write.operation(made.node, "cat", shape, attributes, before)
        return permute(write, found, dims, made)
    parts: list[Expression] = []
    for x in made.inputs:
        same = x.kind == "cat" and x.attributes["dim"] == axis
        parts += x.inputs if same else (x,)
    if len(parts) == len(made.inputs):
        return None
    attributes = {"tensors": ("input",) * len(parts), "dim": axis}
    return write.operation(made.node, "cat", made.shape, attributes, tuple(parts))


def unpadded(_: Write, made: Expression) -> Expression | None:
    """Nothing put around is nothing."""
    pad: Any = made.attributes["pad"]
    return None if any(pad) else made.inputs[0]
