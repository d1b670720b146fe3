"""Devices on the chest: wires and the electrodes at their ends.

In: random numbers. Out: a field of attenuation, mostly zero.
"""

from __future__ import annotations

import numpy as np

from pipeline.data.phantom.canvas import Field, Random, ink


def devices(rng: Random) -> Field:
    """Wires across the chest and electrodes, in one image of three."""
    from scipy.ndimage import gaussian_filter

    if rng.random() > 0.33:
        return np.zeros((1, 1), np.float32)
    t = np.linspace(0, 1, 900)[:, None]
    strokes = []
    for _ in range(int(rng.integers(1, 4))):
        a, b, c = rng.uniform(-1, 1, (3, 2))
        d = np.array([rng.choice([-1.4, 1.4]), rng.uniform(-1, 1.2)])
        curve = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
        strokes.append((curve[:, 0], curve[:, 1], np.full(len(t), 0.15)))
        turn = np.linspace(0, 2 * np.pi, 60)
        strokes.append((a[0] + 0.03 * np.cos(turn), a[1] + 0.03 * np.sin(turn), np.full(60, 0.5)))
    wires: Field = np.minimum(gaussian_filter(ink(strokes), 0.6, truncate=3), 0.2)
    return wires
