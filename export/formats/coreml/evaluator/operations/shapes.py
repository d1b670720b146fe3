"""Shapes: the same numbers in another order, grouped, joined, split, repeated or left out.

Definitions: docstrings of coremltools 9.0, ops/defs/iOS15/tensor_transformation.py and
tensor_operation.py, ops/defs/iOS16/scatter_gather.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import (
    Arguments,
    axes_of,
    integers,
    tensor,
)
from export.formats.coreml.evaluator.operations.windows import pad_by


def _concat(arguments: Arguments) -> Tensor:
    """One after the other; interleaved, the first place of each, then the second of each."""
    values, axis = [tensor(v) for v in arguments["values"]], int(arguments["axis"])
    if not bool(arguments.get("interleave", False)):
        return torch.cat(values, dim=axis)
    axis %= values[0].ndim
    return torch.stack(values, dim=axis + 1).flatten(axis, axis + 1)


def _expand_dims(arguments: Arguments) -> Tensor:
    """Axes of size 1, counted in the output."""
    x, axes = tensor(arguments["x"]), integers(arguments["axes"])
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _gather(arguments: Arguments) -> Tensor:
    """The places `indices` of an axis, which the axes of `indices` replace."""
    if int(arguments["batch_dims"]):
        raise ValueError("batch_dims is not supported here")
    x = tensor(arguments["x"])
    axis = int(arguments["axis"]) % x.ndim
    chosen = _from_front(arguments, x.shape[axis])
    found = x.index_select(axis, chosen.reshape(-1))
    return found.reshape(*x.shape[:axis], *chosen.shape, *x.shape[axis + 1 :])


def _pad(arguments: Arguments) -> Tensor:
    """Before and after each of the last axes: a constant, a mirror image or the border again."""
    x, mode = tensor(arguments["x"]), arguments["mode"]
    flat = integers(arguments["pad"])
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    if mode == "constant":
        return pad_by(x, pairs, float(arguments["constant_val"]))
    if mode not in ("reflect", "replicate"):
        raise ValueError(f"mode {mode}")
    for axis, (before, after) in enumerate(pairs, start=x.ndim - len(pairs)):
        size = x.shape[axis]
        places = np.arange(-before, size + after)
        if mode == "replicate":
            places = places.clip(0, size - 1)
        elif max(before, after) < size:
            places = (size - 1) - np.abs((size - 1) - np.abs(places))
        else:
            raise ValueError(f"a mirror image of {size} values cannot fill {max(before, after)}")
        x = x.index_select(axis, torch.from_numpy(places))
    return x


def _reshape(arguments: Arguments) -> Tensor:
    """Row-major; a size of 0 is that of the input, one of -1 follows from the others."""
    x = tensor(arguments["x"])
    shape = integers(arguments["shape"])
    return x.reshape([size or x.shape[axis] for axis, size in enumerate(shape)])


def _scatter(arguments: Arguments) -> Tensor:
    """`data`, with `updates` instead of the places `indices` of an axis, or added to them."""
    data, updates, mode = tensor(arguments["data"]), tensor(arguments["updates"]), arguments["mode"]
    axis = int(arguments["axis"]) % data.ndim
    indices = _from_front(arguments, data.shape[axis])
    if mode not in ("update", "add"):
        raise ValueError(f"mode {mode} is not supported here")
    place = torch.Tensor.index_copy if mode == "update" else torch.Tensor.index_add
    return place(data, axis, indices, updates)


def _from_front(arguments: Arguments, size: int) -> Tensor:
    """The argument `indices`, those from the end counted from the front."""
    indices = tensor(arguments["indices"]).long()
    return torch.where(indices < 0, indices + size, indices)


def _slice_by_index(arguments: Arguments) -> Tensor:
    """Numpy's ``x[begin:end:stride]``; where squeezed, ``x[begin]``."""
    x = tensor(arguments["x"])
    begin, end = integers(arguments["begin"]), integers(arguments["end"])
    stride = integers(arguments["stride"]) if "stride" in arguments else [1] * x.ndim
    from_start, to_end, squeezed = (
        _mask(arguments, f"{name}_mask", x) for name in ("begin", "end", "squeeze")
    )
    for axis in reversed(range(x.ndim)):
        if squeezed[axis]:
            x = x.select(axis, begin[axis])
            continue
        first = None if from_start[axis] else begin[axis]
        last = None if to_end[axis] else end[axis]
        places = range(x.shape[axis])[first : last : stride[axis]]
        x = x.index_select(axis, torch.tensor(places))  # torch's own slices only go forwards
    return x


def _mask(arguments: Arguments, name: str, x: Tensor) -> list[bool]:
    return [bool(b) for b in arguments[name]] if name in arguments else [False] * x.ndim


def _slice_by_size(arguments: Arguments) -> Tensor:
    """So many places from `begin` on; all that follow if the size is -1."""
    x = tensor(arguments["x"])
    pairs = zip(integers(arguments["begin"]), integers(arguments["size"]), strict=True)
    for axis, (begin, size) in enumerate(pairs):
        start = begin % x.shape[axis] if begin < 0 else begin
        x = x.narrow(axis, start, x.shape[axis] - start if size == -1 else size)
    return x


def _split(arguments: Arguments) -> tuple[Tensor, ...]:
    """Parts of the given sizes, or so many of one size."""
    x, axis = tensor(arguments["x"]), int(arguments["axis"])
    if "split_sizes" in arguments:
        return torch.split(x, integers(arguments["split_sizes"]), dim=axis)
    count = int(arguments["num_splits"])
    if x.shape[axis] % count:
        raise ValueError(f"{count} parts of one size do not divide {x.shape[axis]} values")
    return torch.split(x, x.shape[axis] // count, dim=axis)


def _squeeze(arguments: Arguments) -> Tensor:
    """Without those of `axes` whose size is 1."""
    x = tensor(arguments["x"])
    return torch.squeeze(x, axes_of(arguments, x))


SHAPES: Final[Mapping[str, Callable[[Arguments], Tensor | tuple[Tensor, ...]]]] = {
    "concat": _concat,
    "expand_dims": _expand_dims,
    "gather": _gather,
    "pad": _pad,
    "pixel_shuffle": lambda a: F.pixel_shuffle(tensor(a["x"]), int(a["upscale_factor"])),
    "reshape": _reshape,
    "reverse": lambda a: tensor(a["x"]).flip(axes_of(a, tensor(a["x"]))),
    "scatter": _scatter,
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "split": _split,
    "squeeze": _squeeze,
    "stack": lambda a: torch.stack([tensor(v) for v in a["values"]], dim=int(a["axis"])),
    "tile": lambda a: tensor(a["x"]).repeat(integers(a["reps"])),
    "transpose": lambda a: tensor(a["x"]).permute(integers(a["perm"])),
}
