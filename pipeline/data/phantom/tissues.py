"""What every chest is made of: soft tissue, bones, and lungs with their vessels.

In: random numbers and a chest (and, for the lungs, what was found in them). Out: fields of
attenuation.
"""

from __future__ import annotations

import numpy as np

from pipeline.data.phantom.canvas import (
    AXIS,
    FROM_MIDLINE,
    PX_PER_UNIT,
    SIDE,
    Field,
    Random,
    Y,
    bell,
    ink,
    noise,
    ramp,
    tubes,
)
from pipeline.data.phantom.chest import Chest


def soft_tissue(rng: Random, chest: Chest) -> Field:
    """Trunk, arms, heart, belly: everything but bones and lungs, as if there were no air inside."""
    fat, skin = chest.fat, chest.girth - FROM_MIDLINE
    trunk = np.sqrt(np.clip(1 - (FROM_MIDLINE / chest.girth) ** 2, 0, 1)) * (0.62 + 0.6 * fat)
    trunk += ramp(skin, 0.04) * 0.18

    abduction = rng.uniform(0.0, 0.35)
    to_bone = FROM_MIDLINE - (1.2 + fat + abduction * (AXIS + 0.7))[:, None]
    arm = np.sqrt(np.clip(1 - (to_bone / rng.uniform(0.16, 0.22)) ** 2, 0, 1)) * 0.6
    arm += ramp(0.055 - np.abs(to_bone), 0.03) * 0.16
    trunk = np.maximum(trunk, arm * ramp(AXIS - chest.shoulder - 0.25, 0.3)[:, None])

    trunk += ramp(AXIS + 0.9, 1.0)[:, None] * bell(AXIS, 0.2) * 0.3
    heart = bell(AXIS - chest.base + 0.3, 0.4)[:, None] * bell(AXIS - 0.12, 0.4 * chest.heart)
    trunk += heart * rng.uniform(0.12, 0.22)
    windpipe = ramp(0.05 - np.abs(AXIS + rng.normal(0.01, 0.015)), 0.06)
    trunk -= ramp(-0.45 - AXIS, 0.2)[:, None] * windpipe * rng.uniform(0.08, 0.18)

    belly = ramp(AXIS - chest.base + 0.1, 0.7)[:, None] * ramp(skin, 0.5)
    trunk += belly * rng.uniform(0.15, 0.35)
    cloud = noise(rng, 7)
    if rng.random() < 0.5:  # gas in the stomach
        x, y = AXIS - rng.uniform(0.35, 0.6), AXIS - chest.base - rng.uniform(0.2, 0.32)
        gas = bell(y, rng.uniform(0.06, 0.12))[:, None] * bell(x, rng.uniform(0.12, 0.22))
        trunk -= ramp(gas * (1 + 0.3 * cloud) - 0.5, 0.5) * rng.uniform(0.08, 0.22)
    if rng.random() < 0.4:  # breasts
        size, low = rng.uniform(0.34, 0.46), rng.uniform(0.25, 0.5)
        x, y = (FROM_MIDLINE - rng.uniform(0.5, 0.62)) / size, (Y - low) / (0.9 * size)
        thickness = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1)) * ramp(y + 0.5, 2.5)
        trunk += thickness * rng.uniform(0.08, 0.25)
    return trunk + cloud * ramp(skin, 0.3) * 0.02


def bones(rng: Random, chest: Chest) -> Field:
    density, spacing = rng.uniform(0.06, 0.15), rng.uniform(0.185, 0.22)
    outward = (FROM_MIDLINE / chest.wall) ** 2
    cage = ramp(chest.wall + 0.06 - FROM_MIDLINE, 0.06) * ramp(chest.floor + 0.25 - Y, 0.5)

    # All ribs at once: `rib` counts them along the chest, and one is drawn in each unit of it.
    droop = rng.uniform(0.22, 0.36)
    rib = (Y - chest.top - outward * (droop * outward - 0.1)) * (1 / spacing)
    back = tubes(rib, 0.28) * ramp(FROM_MIDLINE - 0.14, 0.05) * ramp(rib, 0.4)
    rib = (Y - chest.top - rng.uniform(0.3, 0.5) + outward * rng.uniform(0.4, 0.6)) / spacing
    front = tubes(rib, 0.3) * ramp(FROM_MIDLINE - 0.45, 0.25) * rng.uniform(0.3, 0.7)
    rim = ramp(0.05 - np.abs(chest.wall + 0.03 - FROM_MIDLINE), 0.05)
    rim *= ramp(AXIS - chest.top - 0.2, 0.3)[:, None]
    bone = cage * (back + front + 0.7 * rim)

    tilt, height = rng.uniform(0.02, 0.16), rng.uniform(-0.86, -0.72)
    uneven = np.where(SIDE == 0, 1, -1) * rng.normal(0, 0.02)
    line = height + uneven - tilt * FROM_MIDLINE + 0.035 * np.sin(FROM_MIDLINE * 5.5 - 0.5)
    across = np.abs(Y - line.astype(np.float32)) / 0.05
    along = ramp(FROM_MIDLINE - 0.1, 0.06) * ramp(1.08 - FROM_MIDLINE, 0.1)
    bone += ramp(1 - across, 0.35) * along * (1 + 0.6 * np.minimum(across, 1) ** 2)

    blade = FROM_MIDLINE - rng.uniform(0.8, 1.0) + rng.uniform(0.1, 0.3) * (Y + 0.35)
    upper = ramp(AXIS + 0.85, 0.15) * ramp(-AXIS, 0.4) * 0.6
    bone += ramp(blade, 0.04) * ramp(0.22 - blade, 0.3) * upper[:, None]
    joint = 1 - ((FROM_MIDLINE - 1.2) / 0.17) ** 2 - ((Y + 0.7) / 0.17) ** 2
    bone += ramp(joint, 1.2) * 0.7
    bone *= ramp(chest.girth - FROM_MIDLINE - 0.04, 0.1)

    phase = AXIS / (0.95 * spacing) % 1
    vertebra = 0.55 + 0.45 * ramp(0.36 - np.abs(phase - 0.5), 0.12)
    waist = 0.1 + 0.06 * (phase - 0.5) ** 2
    spine = ramp(waist[:, None] - FROM_MIDLINE, 0.04) * vertebra[:, None]
    return bone * density + spine * rng.uniform(0.04, 0.12)


def lung_tissue(rng: Random, chest: Chest, found: Field) -> Field:
    """Air, vessels and what was found; a finding hides vessels, as fluid among them would."""
    vessels = _vessels(rng) * rng.uniform(0.08, 0.16)
    hila = bell(np.abs(AXIS) - 0.27, 0.11) * rng.uniform(0.05, 0.13)
    texture = noise(rng, 64) * 0.010 + noise(rng, 22) * 0.012
    air = rng.uniform(0.42, 0.65) * (0.45 + 0.55 * chest.depth)
    tissue: Field = vessels * (1 - np.clip(found * 1.5, 0, 0.7)) + texture
    tissue += bell(AXIS + 0.06, 0.16)[:, None] * hila + found - air
    return tissue


def _vessels(rng: Random) -> Field:
    """Trees that fork five times on their way out from both hila."""
    from scipy.ndimage import gaussian_filter

    stems = 8
    side = np.repeat([-1.0, 1.0], stems)
    x, y = 0.24 * side + rng.normal(0, 0.04, 2 * stems), rng.normal(-0.08, 0.05, 2 * stems)
    angle = np.tile(np.linspace(-1.35, 1.35, stems), 2) + rng.normal(0, 0.15, 2 * stems)
    length, calibre = 0.26, 1.0
    strokes = []
    for _ in range(5):
        points = int(length * PX_PER_UNIT * 1.6)
        walk = angle[:, None] + np.cumsum(rng.normal(0, 0.05, (len(angle), points)), axis=1)
        step = length / points * rng.uniform(0.7, 1.3, (len(angle), 1))
        xs = x[:, None] + side[:, None] * np.cumsum(step * np.cos(walk), axis=1)
        ys = y[:, None] + np.cumsum(step * np.sin(walk), axis=1)
        strokes.append((xs, ys, np.broadcast_to(calibre * np.linspace(1, 0.75, points), xs.shape)))
        fork = rng.uniform(0.15, 0.6, len(angle))
        angle = np.concatenate([walk[:, -1] + fork, walk[:, -1] - 0.8 * fork])
        x, y, side = np.tile(xs[:, -1], 2), np.tile(ys[:, -1], 2), np.tile(side, 2)
        length, calibre = 0.8 * length, 0.72 * calibre
    thick = gaussian_filter(ink(strokes[:2]), 1.2, truncate=2.5)
    thin = gaussian_filter(ink(strokes[2:]), 0.7, truncate=2.5)
    vessels: Field = np.minimum(2.6 * thick, 1.2) + np.minimum(0.9 * thin, 0.8)
    return vessels
