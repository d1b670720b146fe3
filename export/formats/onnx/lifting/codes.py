"""Integers that stand for numbers: what QuantizeLinear makes, and what is done with it.

A value that is uint8 in the file is `Coded`: in the program it is the numbers that it stands for,
rounded to their grid as the int8 variant rounds them (Jacob et al., CVPR 2018, arXiv:1712.05877).
An operation takes codes as numbers only where its entry says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, fx

from export.errors import CannotRunHere, Unreadable
from export.formats.onnx.lifting.call import Call, Coded, Entry, Grid, Result, Value
from pipeline.program.arithmetic_rules import rounded

NO_ZERO_POINT: Final = torch.zeros(1, dtype=torch.uint8)


def grid_of(call: Call, scale: int, zero_point: int) -> Grid:
    """The grid of two constant inputs, one scale for all values.

    Raises:
        CannotRunHere: a scale for each channel, or codes that are not uint8.
    """
    step = call.required(scale)
    point = call.tensor(zero_point) if call.has(zero_point) else NO_ZERO_POINT
    assert point is not None
    if step.numel() != 1 or point.numel() != 1 or point.dtype != torch.uint8:
        raise call.unknown("to other codes than uint8 with one scale")
    return Grid(float(step), int(point))


def coded(call: Call, x: fx.Node, grid: Grid) -> Coded:
    """Numbers rounded to a grid."""
    return Coded(rounded(call.build, x, grid.scale, grid.zero_point), grid)


def numbers_of(call: Call, place: int, grid: Grid) -> fx.Node:
    """What the codes of an input stand for.

    Raises:
        CannotRunHere: the input is not known to be codes.
        Unreadable: they are of another grid than the operation takes them for.
    """
    given = call.inputs[place]
    if not isinstance(given, Coded):
        raise call.unknown("of codes that nothing made")
    if given.grid != grid:
        raise Unreadable(f"{call.node.place} takes codes of {given.grid} for those of {grid}")
    return given.numbers


def quantize(call: Call) -> Result:
    """Numbers rounded to codes."""
    call.attribute("axis")  # of scales for each channel, and there is one scale
    return coded(call, call.x, grid_of(call, 1, 2))


def dequantize(call: Call) -> Result:
    """The numbers that codes stand for."""
    call.attribute("axis")
    return numbers_of(call, 0, grid_of(call, 1, 2))


def keeping(entry: Entry) -> Entry:
    """An entry of what only moves numbers or chooses among them: it does so with codes."""

    def kept(call: Call) -> Result:
        grids = {each.grid for each in call.inputs if isinstance(each, Coded)}
        if not grids:
            return entry(call)
        others = (each for each in call.inputs if isinstance(each, fx.Node | Tensor))
        if len(grids) > 1 or any(_may_be_codes(each) for each in others):
            raise call.unknown("of codes and of something else")
        (grid,) = grids
        plain = [each.numbers if isinstance(each, Coded) else each for each in call.inputs]
        made = entry(replace(call, inputs=plain))
        results = [made] if isinstance(made, fx.Node | Tensor | Coded) else made
        found = [_marked(result, grid) for result in results]
        return found[0] if len(found) == 1 else found

    return kept


def _may_be_codes(other: fx.Node | Tensor) -> bool:
    """Whether it is no shape, place or axis."""
    return isinstance(other, fx.Node) or other.dtype != torch.int64


def _marked(result: Value, grid: Grid) -> Value:
    if not isinstance(result, fx.Node):
        raise CannotRunHere("codes that are constant are not known here")
    return Coded(result, grid)
