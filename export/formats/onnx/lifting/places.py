"""Operations that move numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from export.formats.onnx.lifting.call import Call, Result, Value, reshaped
from pipeline.program.shape_rules import expanded, joined, padded, permuted, selected, sliced, split


def reshape(call: Call) -> Result:
    """0: as it was; -1: what is left."""
    before, wanted = call.shape(), call.numbers(1) or []
    copied = [] if call.attribute("allowzero", 0) else [i for i, n in enumerate(wanted) if n == 0]
    filled = [before[i] if i in copied else n for i, n in enumerate(wanted)]
    return reshaped(call, call.x, filled)


def squeeze(call: Call) -> Result:
    """Without axes of length 1."""
    before = call.shape()
    axes = _axes(call, len(before))
    if axes is None:
        axes = [i for i, n in enumerate(before) if n == 1]
    return reshaped(call, call.x, [n for i, n in enumerate(before) if i not in axes])


def unsqueeze(call: Call) -> Result:
    """With more axes of length 1."""
    before = iter(call.shape())
    given: list[int] = call.numbers(1) or call.attribute("axes", [])
    rank = len(call.shape()) + len(given)
    axes = {axis % rank for axis in given}
    return reshaped(call, call.x, [1 if i in axes else next(before) for i in range(rank)])


def _axes(call: Call, rank: int) -> list[int] | None:
    given = call.numbers(1) if call.has(1) else call.attribute("axes")
    return None if given is None else [axis % rank for axis in given]


def transpose(call: Call) -> Result:
    """Axes in another order; backwards if none is told."""
    backwards = list(reversed(range(len(call.shape()))))
    return permuted(call.build, call.x, call.attribute("perm", backwards))


def concat(call: Call) -> Result:
    """Parts one after another."""
    parts = [call.value(i) for i in range(len(call.inputs))]
    return joined(call.build, parts, call.attribute("axis"))


def slice_(call: Call) -> Result:
    """A part of each of some axes."""
    starts, ends = call.numbers(1) or [], call.numbers(2) or []
    axes = call.numbers(3) or list(range(len(starts)))
    steps = call.numbers(4) or [1] * len(starts)
    x = call.x
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            raise call.unknown(f"with step {step}")
        x = sliced(call.build, x, axis, start, end, step)
    return x


def split_(call: Call) -> Sequence[Value]:
    """Parts of an axis."""
    axis = call.attribute("axis", 0)
    length = call.shape()[axis]
    parts = call.attribute("num_outputs", len(call.node.outputs))
    sizes = call.numbers(1) or call.attribute("split") or -(-length // parts)
    call.attribute("split")
    return split(call.build, call.x, sizes, axis)


def gather(call: Call) -> Result:
    """One place of an axis, or several in a row."""
    axis, places = call.attribute("axis", 0), call.required(1)
    length = call.shape()[axis]
    if places.ndim == 0:
        return selected(call.build, call.x, axis, int(places))
    index = [int(n) % length for n in places.reshape(-1)]
    steps = {b - a for a, b in pairwise(index)}
    if places.ndim != 1 or len(steps) > 1 or (steps and min(steps) < 1):
        raise call.unknown(f"of places {list(places.shape)}")
    return sliced(call.build, call.x, axis, index[0], index[-1] + 1, (steps or {1}).pop())


def expand(call: Call) -> Result:
    """Stretched to a shape, where it has length 1."""
    wanted = call.numbers(1) or []
    before = call.shape()
    both = torch.empty(before, device="meta") + torch.empty(wanted, device="meta")
    return expanded(call.build, call.x, list(both.shape))


def pad(call: Call) -> Result:
    """A number put around."""
    call.only("mode", "constant")
    ends: list[int] = call.numbers(1) or call.attribute("pads", [])
    value = call.number(2) if call.has(2) else call.attribute("value", 0.0)
    rank = len(call.shape())
    axes = call.numbers(3) if call.has(3) else list(range(rank))
    around = [0] * (2 * rank)
    for i, axis in enumerate(axes or []):
        last_first = rank - 1 - axis % rank
        around[2 * last_first : 2 * last_first + 2] = [ends[i], ends[i + len(ends) // 2]]
    while len(around) > 2 and around[-2:] == [0, 0]:
        around = around[:-2]
    return padded(call.build, call.x, around, "constant", value)


def depth_to_space(call: Call) -> Result:
    """Channels become places, as torch orders them."""
    if call.attribute("mode", "DCR") != "CRD":
        raise call.unknown("in the order of DCR")
    return call.build.add("pixel_shuffle", call.x, call.attribute("blocksize"))
