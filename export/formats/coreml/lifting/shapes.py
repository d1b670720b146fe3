"""Shapes: the same numbers in another order, grouped, joined, split, or left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from export.formats.coreml.evaluator.operations.arguments import integers
from export.formats.coreml.evaluator.operations.windows import torch_order
from export.formats.coreml.lifting.arguments import (
    Arguments,
    Entry,
    axes_from_front,
    reshaped_to,
    sizes_of,
    unknown_use,
)
from pipeline.program import shape_rules

if TYPE_CHECKING:
    from torch import fx

    from pipeline.program.builder import Builder


def _concat(build: Builder, arguments: Arguments) -> fx.Node:
    """One after the other; interleaved, the first place of each, then the second of each.

    The latter is ShuffleNet's shuffle of channels, and is written as there.
    """
    parts, axis = arguments["values"], int(arguments["axis"])
    joined = shape_rules.joined(build, parts, axis)
    if len(parts) == 1 or not bool(arguments.get("interleave", False)):
        return joined
    sizes = sizes_of(joined)
    axis %= len(sizes)
    grouped = reshaped_to(build, joined, [*sizes[:axis], len(parts), -1, *sizes[axis + 1 :]])
    turned = shape_rules.transposed(build, grouped, axis, axis + 1)
    return reshaped_to(build, turned, sizes)


def _stack(build: Builder, arguments: Arguments) -> fx.Node:
    return shape_rules.stacked(build, arguments["values"], int(arguments["axis"]))


def _expand_dims(build: Builder, arguments: Arguments) -> fx.Node:
    """Axes of size 1, counted in the output."""
    x, axes = arguments["x"], integers(arguments["axes"])
    shape = sizes_of(x)
    rank = len(shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    return reshaped_to(build, x, shape)


def _squeeze(build: Builder, arguments: Arguments) -> fx.Node:
    """Without those of `axes` whose size is 1."""
    x = arguments["x"]
    gone = axes_from_front(arguments, x)
    shape = [n for axis, n in enumerate(sizes_of(x)) if n != 1 or axis not in gone]
    return reshaped_to(build, x, shape)


def _reshape(build: Builder, arguments: Arguments) -> fx.Node:
    """A size of 0 is that of the input, one of -1 follows from the others."""
    x, shape = arguments["x"], integers(arguments["shape"])
    return reshaped_to(build, x, [size or sizes_of(x)[axis] for axis, size in enumerate(shape)])


def _transpose(build: Builder, arguments: Arguments) -> fx.Node:
    return shape_rules.permuted(build, arguments["x"], integers(arguments["perm"]))


def _pad(build: Builder, arguments: Arguments) -> fx.Node:
    """A constant before and after each of the last axes."""
    if arguments["mode"] != "constant":
        raise unknown_use("pad", f"mode {arguments['mode']}")
    flat = integers(arguments["pad"])
    pad = without_zeros(torch_order(list(zip(flat[::2], flat[1::2], strict=True))))
    return shape_rules.padded(build, arguments["x"], pad, value=arguments["constant_val"])


def without_zeros(pad: list[int]) -> list[int]:
    """Padding in PyTorch's order, the last axis first, without axes that have none at its end."""
    while pad[-2:] == [0, 0]:
        pad = pad[:-2]
    return pad


def _slice_by_index(build: Builder, arguments: Arguments) -> fx.Node:
    """Numpy's ``x[begin:end:stride]``; where squeezed, ``x[begin]``."""
    x = arguments["x"]
    sizes = sizes_of(x)
    begin, end = integers(arguments["begin"]), integers(arguments["end"])
    stride = integers(arguments["stride"]) if "stride" in arguments else [1] * len(sizes)
    if min(stride) < 0:
        raise unknown_use("slice_by_index", f"stride {stride}")
    from_start, to_end, squeezed = (
        _mask(arguments, f"{name}_mask", sizes) for name in ("begin", "end", "squeeze")
    )
    for axis in reversed(range(len(sizes))):
        if squeezed[axis]:
            x = shape_rules.selected(build, x, axis, begin[axis])
            continue
        first = None if from_start[axis] else begin[axis]
        last = None if to_end[axis] else end[axis]
        x = shape_rules.sliced(build, x, axis, first, last, stride[axis])
    made: fx.Node = x
    return made


def _mask(arguments: Arguments, name: str, sizes: list[int]) -> list[bool]:
    given: Any = arguments.get(name, [False] * len(sizes))
    return [bool(b) for b in given]


def _slice_by_size(build: Builder, arguments: Arguments) -> fx.Node:
    """So many places from `begin` on; all that follow if the size is -1."""
    x = arguments["x"]
    pairs = zip(integers(arguments["begin"]), integers(arguments["size"]), strict=True)
    for axis, (begin, size) in enumerate(pairs):
        length = sizes_of(x)[axis]
        start = begin % length if begin < 0 else begin
        end = length if size == -1 else start + size
        x = shape_rules.sliced(build, x, axis, start, end)
    made: fx.Node = x
    return made


def _split(build: Builder, arguments: Arguments) -> tuple[fx.Node, ...]:
    """Parts of the given sizes, or so many of one size."""
    x, axis = arguments["x"], int(arguments["axis"])
    if "split_sizes" in arguments:
        return shape_rules.split(build, x, integers(arguments["split_sizes"]), axis)
    count = int(arguments["num_splits"])
    length = sizes_of(x)[axis]
    if length % count:
        raise ValueError(f"{count} parts of one size do not divide {length} values")
    return shape_rules.split(build, x, length // count, axis)


def _tile(build: Builder, arguments: Arguments) -> fx.Node:
    """An axis of size 1 repeated, which is a stretch."""
    x, repeats = arguments["x"], integers(arguments["reps"])
    sizes = sizes_of(x)
    if any(count != 1 and size != 1 for count, size in zip(repeats, sizes, strict=True)):
        raise unknown_use("tile", f"a shape of {sizes} repeated {repeats} times")
    return shape_rules.expanded(build, x, [n * m for n, m in zip(sizes, repeats, strict=True)])


SHAPES: Final[Mapping[str, Entry]] = {
    "concat": _concat,
    "expand_dims": _expand_dims,
    "pad": _pad,
    "pixel_shuffle": lambda build, arguments: build.add(
        "pixel_shuffle", arguments["x"], int(arguments["upscale_factor"])
    ),
    "reshape": _reshape,
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "split": _split,
    "squeeze": _squeeze,
    "stack": _stack,
    "tile": _tile,
    "transpose": _transpose,
}
