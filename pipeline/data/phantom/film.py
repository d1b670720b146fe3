"""The film: how the patient stood in front of it and what the detector made of the shadow.

In: a shadow, a field on the canvas. Out: grey levels, uint8 (H, W).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.data.phantom.canvas import CANVAS_PX, PX_PER_UNIT, Field, Random, ramp


def position(rng: Random, shadow: Field) -> Field:
    """Rotate, stretch, shift and crop the canvas to a film (H, W)."""
    from scipy.ndimage import affine_transform

    height, width = rng.integers(256, 341, 2)
    if rng.random() < 0.3:
        height = width
    zoom = rng.uniform(2.05, 2.5) * PX_PER_UNIT / min(height, width)
    angle = np.deg2rad(rng.normal(0, 2.5))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = zoom * turn * np.exp(rng.normal(0, 0.04, 2))
    middle = CANVAS_PX / 2 + PX_PER_UNIT * rng.normal([-0.05, 0], 0.09)
    offset = middle - matrix @ [height / 2, width / 2]
    film: Field = affine_transform(shadow, matrix, offset, (height, width), order=1, mode="nearest")
    return film


def expose(rng: Random, film: Field) -> NDArray[np.uint8]:
    """Detector: automatic range, tone curve, blur, collimator, noise, and the two greys."""
    from scipy.ndimage import gaussian_filter

    limits = [rng.uniform(0.5, 6), rng.uniform(95, 100)]
    dark, bright = (float(level) for level in np.percentile(film[::5, ::5], limits))
    grey = np.clip((film - dark) * (1 / (bright - dark)), 0, 1)
    grey *= 1 + rng.uniform(-0.2, 0.7) * (1 - grey)
    grey = gaussian_filter(grey, rng.uniform(0.2, 0.8), truncate=3)
    if rng.random() < 0.25:
        for axis, size in enumerate(film.shape):
            at = np.arange(size, dtype=np.float32)
            near, far = rng.uniform(-0.06, 0.06, 2) * size
            open_ = ramp(at - near, 3) * ramp(size - 1 - far - at, 3)
            grey *= open_[:, None] if axis == 0 else open_
    grey += rng.standard_normal(film.shape, dtype=np.float32) * rng.uniform(0.004, 0.025)
    darkest, brightest = rng.uniform(0, 30), rng.uniform(200, 245)
    grey = darkest + (brightest - darkest) * grey
    return np.asarray(np.clip(grey, 0, 255), np.uint8)
