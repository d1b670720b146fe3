"""Spellings of what is rounded to a grid of 8 bits.

A grid ends at its first and its last code: a ReLU before a grid that begins at 0 changes nothing,
and integer kernels leave it out. What is only moved stays on its grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.program.expressions.arithmetic_spellings import around_of
from pipeline.program.expressions.shape_spellings import permute, reshape
from pipeline.program.operations import ROUND

if TYPE_CHECKING:
    from pipeline.program.expressions.expression import Expression
    from pipeline.program.expressions.spelling import Write

# They move numbers of a grid, or choose among them; 0 is on every grid.
MOVING: Final = ("max_pool2d", "amax", "cat", "reshape", "permute", "slice.Tensor", "relu")
SURE: Final = 0.49  # of a code, and it is rounded to the same in float32
# Operation -> the names of its least and its greatest result.
CLAMPS: Final = {"hardtanh": ("min_val", "max_val"), "clamp": ("min", "max")}


@dataclass(frozen=True)
class _Grid:
    scale: float
    zero_point: int
    least: int
    greatest: int

    def code(self, number: float) -> float:
        """Before it is rounded, and cut off at the ends."""
        return number / self.scale + self.zero_point


def rounded(write: Write, made: Expression) -> Expression | None:
    """A rounding follows reshapes and permutations, and takes no clamp that it does itself."""
    x, *grid_tensors = made.inputs
    if x.kind in ("reshape", "permute"):
        (before,) = x.inputs
        inputs = (before, *grid_tensors)
        inside = write.operation(made.node, ROUND, before.shape, made.attributes, inputs)
        if x.kind == "reshape":
            return reshape(write, inside, made.shape, made)
        dims: Any = x.attributes["dims"]
        return permute(write, inside, dims, made)
    grid = _grid_of(made)
    if grid is None:
        return None
    if _is_on(x, grid):
        return x
    if _covers(grid, *_ends(x)):
        inputs = (x.inputs[0], *grid_tensors)
        return write.operation(made.node, ROUND, made.shape, made.attributes, inputs)
    return None


def _grid_of(rounding: Expression) -> _Grid | None:
    _, scale, zero_point = (each.tensor for each in rounding.inputs)
    if scale is None or zero_point is None or scale.numel() != 1:
        return None
    ends: list[Any] = [rounding.attributes[key] for key in ("quant_min", "quant_max")]
    grid = _Grid(float(scale), int(zero_point), *ends)
    sound = 0 < grid.scale < math.inf and grid.least <= grid.zero_point <= grid.greatest
    return grid if sound else None


def _is_on(x: Expression, grid: _Grid) -> bool:
    """Whether an expression has numbers of the grid alone."""
    if x.kind == ROUND:
        return _grid_of(x) == grid
    if x.kind == "max_pool2d" and not _sees_numbers(x):
        return False
    return x.kind in MOVING and all(_is_on(part, grid) for part in x.inputs)


def _sees_numbers(pool: Expression) -> bool:
    """Whether no window of a pool can lie in its padding alone."""
    window: Any = pool.attributes["kernel_size"]
    return pool.attributes["dilation"] == (1, 1) and max(around_of(pool)) < min(window)


def _ends(x: Expression) -> tuple[float, float]:
    """Between which numbers a clamp cuts off; none of what is no clamp."""
    if x.kind == "relu":
        return 0.0, math.inf
    if x.kind not in CLAMPS:
        return math.inf, -math.inf
    least, greatest = (x.attributes[key] for key in CLAMPS[x.kind])
    return (
        float(least) if isinstance(least, int | float) else -math.inf,
        float(greatest) if isinstance(greatest, int | float) else math.inf,
    )


def _covers(grid: _Grid, least: float, greatest: float) -> bool:
    """Whether what is cut off there gets the grid's first or last code in any case."""
    first, last = grid.code(least), grid.code(greatest)
    return first <= grid.least + SURE and last >= grid.greatest - SURE
