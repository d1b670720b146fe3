"""The canvas on which a chest is drawn, upright and centred, and the shapes drawn on it.

In: distances or points in canvas units, or random numbers. Out: fields, to be added up.
x grows to the image's right (the patient's left), y downwards, 0 is the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# float32 at run time, (CANVAS_PX, CANVAS_PX) or what broadcasts to it. (For numpy's type stubs
# float32 times a Python float is float64.)
Field = NDArray[np.floating[Any]]
Random = np.random.Generator
Stroke = tuple[Field, Field, Field]  # x, y in canvas units, ink; of one shape

# Unit: about half the inner width of a thorax.
CANVAS_PX: Final = 264
REACH: Final = 1.4
PX_PER_UNIT: Final = CANVAS_PX / (2 * REACH)
AXIS: Final[Field] = ((np.arange(CANVAS_PX) + 0.5) / PX_PER_UNIT - REACH).astype(np.float32)
X: Final[Field] = AXIS[None, :]
Y: Final[Field] = AXIS[:, None]
FROM_MIDLINE: Final[Field] = np.abs(X)
SIDE: Final = (AXIS > 0).astype(np.intp)  # per column: 0 the patient's right, 1 the left


def ramp(distance: Field, softness: float) -> Field:
    """0 outside, 1 inside: a smooth step, `softness` wide, where the distance inwards is 0."""
    t = np.asarray(distance, np.float32) * np.float32(1 / softness)
    t += np.float32(0.5)
    np.clip(t, 0, 1, out=t)
    step: Field = 3 - 2 * t
    step *= t
    step *= t
    return step


def bell(distance: Field, radius: float | Field) -> Field:
    """1 at distance 0, 1/e at the radius."""
    return np.asarray(np.exp(-((distance / radius) ** 2)), np.float32)


def tubes(number: Field, half: float) -> Field:
    """A hollow tube, brighter at its borders, around 0.5, 1.5, ...; `half` is half its width."""
    across = np.abs(number - np.floor(number) - 0.5) * (1 / half)
    return np.asarray(ramp(1 - across, 0.4) * (0.55 + 0.45 * np.minimum(across, 1) ** 2))


def through(*knots: tuple[float, float]) -> Field:
    """A smooth line (CANVAS_PX,) through (y, value) knots."""
    at, value = np.array(knots).T
    window = np.hanning(35)
    line = np.pad(np.interp(AXIS, at, value), 17, mode="edge")
    return np.convolve(line, window / window.sum(), mode="valid").astype(np.float32)


def noise(rng: Random, bumps: int) -> Field:
    """Smooth noise, mean 0, standard deviation 1, with `bumps` bumps across the canvas."""
    at = (AXIS + REACH) * (bumps / (2 * REACH))
    cell = at.astype(np.intp)
    t = at - np.floor(at)
    # A quadratic B-spline through random numbers, rows first, then columns. Not as a product of
    # matrices: BLAS would start threads, which on a busy machine cost five times the drawing.
    weights = np.stack([(1 - t) ** 2 / 2, 0.75 - (t - 0.5) ** 2, t**2 / 2])
    weights /= np.sqrt((weights**2).sum(axis=0))
    grid = rng.standard_normal((bumps + 2, bumps + 2), dtype=np.float32)
    rows = np.asarray(sum(w[:, None] * grid[cell + k] for k, w in enumerate(weights)))
    return np.asarray(sum(w * rows.take(cell + k, axis=1) for k, w in enumerate(weights)))


def ink(strokes: Sequence[Stroke]) -> Field:
    """Points with their amounts of ink, summed per pixel; what falls off the canvas is dropped."""
    x, y, amount = (
        np.concatenate([np.ravel(part) for part in parts]) for parts in zip(*strokes, strict=True)
    )
    column, row = (np.floor((at + REACH) * PX_PER_UNIT).astype(np.intp) for at in (x, y))
    on = (column >= 0) & (row >= 0) & (column < CANVAS_PX) & (row < CANVAS_PX)
    sums = np.bincount(row[on] * CANVAS_PX + column[on], amount[on], minlength=CANVAS_PX**2)
    return sums.reshape(CANVAS_PX, CANVAS_PX).astype(np.float32)
