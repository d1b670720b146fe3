"""Spellings of what moves numbers and computes none."""

from __future__ import annotations

from typing import Any

from pipeline.program.expressions.expression import Expression
from pipeline.program.expressions.spelling import Write


def keeping(_: Write, made: Expression) -> Expression | None:
    """A reshape, stretch or slice to the same shape is nothing."""
    (x,) = made.inputs
    return x if made.shape == x.shape else None


def reshaped(write: Write, made: Expression) -> Expression | None:
    """A reshape is known by its result's shape; two in a row are one."""
    (x,) = made.inputs
    if x.kind == "reshape":
        (before,) = x.inputs
        return reshape(write, before, made.shape, made)
    if made.attributes.keys() == {"shape"}:
        return None
    return reshape(write, x, made.shape, made)


def reshape(write: Write, x: Expression, shape: tuple[int, ...], made: Expression) -> Expression:
    """An expression in another shape, at the node of another."""
    if x.shape == shape:
        return x
    return write.operation(made.node, "reshape", shape, {"shape": shape}, (x,))


def of_reshaped(write: Write, made: Expression) -> Expression | None:
    """What is computed number by number of reshaped values is reshaped itself."""
    before = [x.inputs[0] if x.kind == "reshape" else x for x in made.inputs]
    same = len({x.shape for x in before}) == 1 and len({x.shape for x in made.inputs}) == 1
    if not same or any(x.kind != "reshape" for x in made.inputs):
        return None
    found = write.operation(made.node, made.kind, before[0].shape, made.attributes, tuple(before))
    return reshape(write, found, made.shape, made)


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
    """Parts of which one is joined itself, along the same axis, are joined at once."""
    axis = made.attributes["dim"]
    parts: list[Expression] = []
    for x in made.inputs:
        same = x.kind == "cat" and x.attributes["dim"] == axis
        parts += x.inputs if same else (x,)
    if len(parts) == len(made.inputs):
        return None
    attributes: dict[str, object] = {"tensors": ("input",) * len(parts), "dim": axis}
    return write.operation(made.node, "cat", made.shape, attributes, tuple(parts))


def unpadded(_: Write, made: Expression) -> Expression | None:
    """Nothing put around is nothing."""
    pad: Any = made.attributes["pad"]
    return None if any(pad) else made.inputs[0]
