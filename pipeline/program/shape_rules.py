"""Rules for operations that move numbers and compute none: see `pipeline.program.normal_form`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import torch
from torch import Tensor, fx

from pipeline.errors import BadInput
from pipeline.program.builder import (
    VALUE,
    Builder,
    Grows,
    Length,
    at,
    axis_of,
    computed,
    length_of,
    shape_of,
    together,
)
from pipeline.program.operations import OPERATIONS

Rule = Callable[..., Any]
TO_THE_END: Final = 2**63 - 1  # torch's end of a slice that has none


def same(_: Builder, x: Any, *__: Any, **___: Any) -> Any:
    """A copy, or what only changes how numbers lie in memory."""
    return x


def cast(_: Builder, x: fx.Node, dtype: torch.dtype | None = None, **__: Any) -> fx.Node:
    """To the type that the numbers have already."""
    found = x.meta[VALUE][0].dtype
    if dtype not in (None, found):
        raise BadInput(f"a cast from {found} to {dtype}")
    return x


def reshaped_by(function: Callable[..., Tensor]) -> Rule:
    """A rule for what is a reshape: to the shape of the function's result."""

    def rule(build: Builder, x: fx.Node, *args: Any) -> fx.Node:
        metas = x.meta[VALUE]
        shapes = [list(function(meta, *at(args, i)).shape) for i, meta in enumerate(metas)]
        return _reshaped(build, x, together(*shapes))

    return rule


def _reshaped(build: Builder, x: fx.Node, shape: Sequence[Length]) -> fx.Node:
    """The length that grows with the number of images is left open, as -1."""
    x = _before(x, "reshape")
    if shape == shape_of(x):
        return x
    lengths = [-1 if isinstance(n, Grows) else n for n in shape]
    if lengths.count(-1) > 1:
        raise BadInput("a reshape of which two lengths grow with the images")
    return build.add("reshape", x, lengths)


def _before(x: fx.Node, operation: str) -> fx.Node:
    """What an operation was given, if `x` is one: two in a row are one."""
    if x.target is not OPERATIONS[operation]:
        return x
    assert isinstance(x.args[0], fx.Node)
    return x.args[0]


def permuted(build: Builder, x: fx.Node, axes: Sequence[int]) -> fx.Node:
    """Axes in another order."""
    order = [axis_of(x, axis) for axis in axes]
    before = _before(x, "permute")
    if before is not x:
        first: Any = x.args[1]
        x, order = before, [first[axis] for axis in order]
    return x if order == sorted(order) else build.add("permute", x, order)


def transposed(build: Builder, x: fx.Node, first: int = 0, second: int = 1) -> fx.Node:
    """Two axes exchanged."""
    order = list(range(len(shape_of(x))))
    a, b = axis_of(x, first), axis_of(x, second)
    order[a], order[b] = b, a
    return permuted(build, x, order)


def sliced(
    build: Builder, x: fx.Node, axis: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> fx.Node:
    """A slice by places from the front; all of an axis is no slice, nor are parts of a `cat`."""
    axis = axis_of(x, axis)
    if (start or 0, step) == (0, 1) and end in (None, TO_THE_END, shape_of(x)[axis]):
        return x
    length = length_of(x, axis)
    start, end, _ = slice(start, end).indices(length)
    if (start, end, step) == (0, length, 1):
        return x
    if x.target is OPERATIONS["cat"] and x.args[1] == axis and step == 1:
        parts: Any = x.args[0]
        ends = [0, *accumulate(length_of(part, axis) for part in parts)]
        if start in ends and end in ends:
            return joined(build, parts[ends.index(start) : ends.index(end)], axis)
    return build.add("slice.Tensor", x, axis, start, end, step)


def joined(build: Builder, parts: Sequence[fx.Node], axis: int = 0) -> fx.Node:
    """Parts one after another."""
    return parts[0] if len(parts) == 1 else build.add("cat", list(parts), axis_of(parts[0], axis))


def written_over(
    build: Builder,
    x: fx.Node,
    part: fx.Node,
    axis: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> fx.Node:
    """A tensor with a part of it replaced: what is before it, the part, what is after."""
    axis = axis_of(x, axis)
    if sliced(build, x, axis, start, end, step) is x:
        return part
    length = length_of(x, axis)
    if step != 1:
        raise BadInput(f"a change of every {step}. place along an axis")
    start, end, _ = slice(start, end).indices(length)
    before = [sliced(build, x, axis, 0, start)] if start else []
    after = [sliced(build, x, axis, end, length)] if end < length else []
    return joined(build, [*before, part, *after], axis)


def split(
    build: Builder, x: fx.Node, sizes: int | Sequence[int], axis: int = 0
) -> tuple[fx.Node, ...]:
    """Parts of an axis: of these sizes, or of one size and a rest."""
    length = length_of(x, axis)
    ends = [*range(0, length, sizes), length] if isinstance(sizes, int) else [0, *accumulate(sizes)]
    return tuple(sliced(build, x, axis, a, b) for a, b in pairwise(ends))


def chunked(build: Builder, x: fx.Node, chunks: int, axis: int = 0) -> tuple[fx.Node, ...]:
    """So many parts of an axis."""
    return split(build, x, math.ceil(length_of(x, axis) / chunks), axis)


def selected(build: Builder, x: fx.Node, axis: int, index: int) -> fx.Node:
    """One place of an axis, counted from the front."""
    return build.add("select.int", x, axis_of(x, axis), index % length_of(x, axis))


def unbound(build: Builder, x: fx.Node, axis: int = 0) -> tuple[fx.Node, ...]:
    """Every place of an axis."""
    return tuple(selected(build, x, axis, i) for i in range(length_of(x, axis)))


def stacked(build: Builder, parts: Sequence[fx.Node], axis: int = 0) -> fx.Node:
    """Parts along a new axis."""
    unsqueeze = reshaped_by(torch.unsqueeze)
    return joined(build, [unsqueeze(build, part, axis) for part in parts], axis)


def rolled(build: Builder, x: fx.Node, shifts: Sequence[int], axes: Sequence[int]) -> fx.Node:
    """Each axis cut in two, the parts exchanged."""
    for shift, axis in zip(shifts, axes, strict=True):
        length = length_of(x, axis)
        cut = -shift % length
        if cut:
            parts = [sliced(build, x, axis, cut, length), sliced(build, x, axis, 0, cut)]
            x = joined(build, parts, axis)
    return x


def expanded(build: Builder, x: fx.Node, sizes: Sequence[Length], **_: Any) -> fx.Node:
    """A stretch; -1 where an axis stays as it is."""
    shape: list[Any] = [None] * (len(sizes) - len(shape_of(x))) + shape_of(x)
    kept = [-1 if n in (m, -1) else n for n, m in zip(sizes, shape, strict=True)]
    return x if set(kept) == {-1} else build.add("expand", x, kept)


def copied(build: Builder, x: fx.Node, source: fx.Node, *_: Any) -> fx.Node:
    """What is written over all of a tensor."""
    return expanded(build, cast(build, source, x.meta[VALUE][0].dtype), shape_of(x))


def padded(
    build: Builder, x: fx.Node, pad: Sequence[int], mode: str = "constant", value: Any = None
) -> fx.Node:
    """Numbers put around."""
    if mode != "constant":
        raise BadInput(f"padding with mode {mode!r}")
    return build.add("constant_pad_nd", x, pad, value or 0.0) if any(pad) else x


def made_like(function: Callable[..., Tensor]) -> Rule:
    """A rule for a constant with the type of a tensor, and with its shape if none is given."""

    def rule(build: Builder, x: fx.Node, *args: Any, dtype: Any = None, **_: Any) -> Any:
        sized = args if args and isinstance(args[0], list | tuple) else (shape_of(x), *args)
        return computed(function, sized, {"dtype": dtype or x.meta[VALUE][0].dtype})

    return rule
