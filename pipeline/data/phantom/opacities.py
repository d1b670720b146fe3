"""Findings: what is in the lungs besides air and vessels.

In: random numbers and a chest. Out: a field of added attenuation. `_spread` gives the findings of
both labels the same totals.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.canvas import (
    AXIS,
    FROM_MIDLINE,
    SIDE,
    Field,
    Random,
    Y,
    bell,
    noise,
    ramp,
)
from pipeline.data.phantom.chest import Chest


def opacities(rng: Random, chest: Chest) -> Field:
    """The positive class: soft patches, mostly on both sides, low and near the wall."""
    patches = int(rng.integers(4, 10))
    side = np.where(rng.random(patches) < rng.uniform(0.25, 0.75), -1, 1)
    y = np.clip(rng.normal(0.2, 0.3, patches), -0.7, 0.7)
    x = side * np.interp(y, AXIS, chest.wall[:, 0]) * (1 - np.abs(rng.normal(0.08, 0.2, patches)))
    spots = _spots(x, y, rng.uniform(0.08, 0.2, (2, patches)), rng.uniform(0.5, 1, patches))
    return _spread(rng, chest, np.clip(spots * (1 + 0.7 * noise(rng, 26)), 0, 1))


def another_finding(rng: Random) -> Callable[[Random, Chest], Field]:
    """What an image of the negative class has instead."""
    findings = (_nothing, _consolidation, _nodules, _effusion, _haze)
    return findings[rng.choice(len(findings), p=[0.25, 0.2, 0.15, 0.15, 0.25])]


def _nothing(rng: Random, chest: Chest) -> Field:
    return np.zeros_like(chest.lung)


def _consolidation(rng: Random, chest: Chest) -> Field:
    """One lobe, dense, with a straight fissure for a border."""
    if rng.random() < 0.5:
        fissure = rng.uniform(-0.2, 0.1)
        lobe = ramp(fissure + 0.15 * (FROM_MIDLINE - 0.5) - Y, 0.06)
        lobe = lobe * ramp(Y - fissure + rng.uniform(0.3, 0.6), 0.3)
    else:
        lobe = ramp(Y - rng.uniform(0.0, 0.3), 0.3)
    lobe = lobe * (rng.integers(2) == SIDE)
    return _spread(rng, chest, lobe * np.clip(0.8 + 0.25 * noise(rng, 14), 0, 1))


def _nodules(rng: Random, chest: Chest) -> Field:
    """Small and round, with a clear border, anywhere."""
    count = int(rng.integers(4, 12))
    x = rng.choice([-1, 1], count) * rng.uniform(0.3, 0.8, count)
    radius = np.tile(rng.uniform(0.04, 0.085, count), (2, 1))
    spots = _spots(x, rng.uniform(-0.8, 0.6, count), radius, np.ones(count))
    return _spread(rng, chest, ramp(spots - 0.5, 0.6), 0.25)


def _effusion(rng: Random, chest: Chest) -> Field:
    """Fluid on one side: dense below a level that rises towards the wall."""
    level = chest.base - rng.uniform(0.0, 0.4)
    fluid = ramp(Y - level + 0.35 * (FROM_MIDLINE / chest.wall) ** 4, 0.15)
    return _spread(rng, chest, fluid * (rng.integers(2) == SIDE))


def _haze(rng: Random, chest: Chest) -> Field:
    """Both sides, soft like the opacities, but around the hila."""
    radius = np.tile(rng.uniform(0.14, 0.28, 2), (2, 1)) * [[1.0], [1.4]]
    spots = _spots(np.array([-0.32, 0.34]), rng.normal(0, 0.07, 2), radius, np.ones(2))
    return _spread(rng, chest, np.clip(spots * (1 + 0.4 * noise(rng, 20)), 0, 1))


def _spread(rng: Random, chest: Chest, shape: Field, most: float = 0.4) -> Field:
    """Scale a finding to a random mean over the lungs, as far as that leaves it translucent."""
    mean = float((shape * chest.lung).sum() / chest.lung.sum())
    return shape * min(rng.uniform(0.045, 0.1) / max(mean, 1e-6), most)


def _spots(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radius: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> Field:
    """Sum of bells at x, y (n,), of radius (2, n) across and down, in canvas units."""
    columns = bell(AXIS - x[:, None], radius[0][:, None])
    rows = bell(AXIS - y[:, None], radius[1][:, None]) * weight[:, None]
    return np.asarray(np.einsum("ny,nx->yx", rows, columns), np.float32)
