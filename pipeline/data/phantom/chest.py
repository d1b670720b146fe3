"""The frame of one chest: where its lungs, heart and walls are, and how wide the trunk is.

In: random numbers. Out: a `Chest`, on which tissues and opacities are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.data.phantom.canvas import (
    AXIS,
    CANVAS_PX,
    FROM_MIDLINE,
    SIDE,
    Field,
    Random,
    Y,
    bell,
    ramp,
    through,
)


@dataclass(frozen=True)
class Chest:
    """What the organs of one chest must agree on. Fields are (CANVAS_PX, CANVAS_PX)."""

    top: float  # y of the lungs' apices
    base: float  # y of the right diaphragm's dome
    heart: float  # size, 1 is normal
    lung: Field  # 1 inside the lung fields, 0 outside
    wall: Field  # x of the chest wall's inner face at this height
    floor: Field  # y of the diaphragm in this column
    depth: Field  # 0..1: how much air a ray meets
    shoulder: float  # y of the shoulders
    fat: float  # extra half-width of the trunk
    girth: Field  # half-width of neck and trunk, (CANVAS_PX, 1)


def grow_chest(rng: Random) -> Chest:
    top, base = rng.uniform(-1.04, -0.94), rng.uniform(0.42, 0.68)
    heart = rng.uniform(1.35, 1.55) if rng.random() < 0.2 else rng.uniform(0.9, 1.15)
    width, roundness = rng.uniform(0.84, 0.95), rng.uniform(2.0, 2.6)
    wall, inner = np.empty((2, CANVAS_PX, 2), np.float32)
    for side in (0, 1):
        down = np.clip((AXIS - top - rng.normal(0, 0.015)) / 1.5, 0, 1)
        arch = np.sqrt(1 - (1 - down) ** roundness)
        wall[:, side] = 0.36 + (width + rng.normal(0, 0.012) - 0.36) * arch
        inner[:, side] = 0.36 - 0.18 * np.minimum(1, down / 0.12) ** 0.5
        inner[down == 0, side] = 1  # no lung above the apex
    apex = base - rng.uniform(0.14, 0.22)  # where the heart reaches farthest to its left
    below = rng.uniform(0.5, 0.8)
    inner[:, 1] += 0.33 * heart**1.4 * bell(AXIS - apex, np.where(apex > AXIS, 0.36, below))
    inner[:, 0] += 0.12 * heart**1.6 * bell(AXIS - apex + 0.08, np.where(apex > AXIS, 0.3, below))
    inner[:, 1] += rng.uniform(0.03, 0.08) * bell(AXIS + 0.5, 0.1)  # the aortic arch
    inner[:, 1] += rng.uniform(0.02, 0.06) * bell(AXIS + 0.22, 0.13)  # the pulmonary trunk
    inner[:, 0] += rng.uniform(0.00, 0.05) * bell(AXIS + 0.35, 0.3)  # the upper great vein
    x = np.abs(AXIS)
    left_is_lower = np.where(SIDE == 1, rng.uniform(-0.02, 0.1), 0)
    floor = (
        base
        + left_is_lower
        + rng.uniform(0.2, 0.4) * np.clip((x - 0.5) / 0.4, 0, 1.3) ** 2
        + 0.08 * np.clip((0.5 - x) / 0.4, 0, 1) ** 2
    ).astype(np.float32)[None, :]
    to_wall = wall[:, SIDE] - FROM_MIDLINE
    to_inner = FROM_MIDLINE - inner[:, SIDE]
    to_floor = floor - Y
    lung = ramp(to_wall, 0.035) * ramp(to_inner, 0.06) * ramp(to_floor, 0.045)
    depth = np.clip(to_wall * 2.2, 0, 1) * np.clip(to_inner * 2.5 + 0.3, 0, 1)
    depth = np.sqrt(depth) * np.clip(to_floor * 1.6 + 0.5, 0, 1)

    fat, neck, shoulder = rng.uniform(0, 0.2), rng.uniform(0.28, 0.38), rng.uniform(-1.17, -1.05)
    girth = through(
        (-1.4, neck),
        (shoulder - 0.16, neck + 0.06),
        (shoulder, neck + 0.38),
        (shoulder + 0.16, 1.16),
        (shoulder + 0.4, 1.24),
        (-0.25, 1.06 + fat),
        (0.6, 1.03 + fat),
        (1.4, 1.03 + 1.8 * fat),
    )[:, None]
    return Chest(top, base, heart, lung, wall[:, SIDE], floor, depth, shoulder, fat, girth)
