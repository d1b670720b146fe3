"""Synthetic chest X-ray phantoms: the data set that comes with the code.

In: a label, a number and a seed. Out: one grey image, or a folder of them as fastai's
`ImageDataLoaders.from_folder` reads it. No patient is in here: every image is drawn from random
numbers, and says so in a corner and in its PNG text.

A phantom is a sum of shadows. An X-ray image is brighter where the beam met more matter, and
attenuations add up along a ray, so an organ is a field that is added, and air one that is
subtracted; size, angle, exposure and noise of the film come last.

`synthetic_opacities` shows several soft, faint patches, mostly in both lungs, low and near the
wall. `synthetic_clear` shows nothing (1 in 4) or something else of about the same total
attenuation: a dense lobe, nodules, fluid, a haze around the hila. Everything else has the same
chances under both labels: a large heart, wires, sizes, exposures, letters.

Hard enough that training matters. AUROC on 400 images after 400 others, seeds 2, 3, 4: logistic
regression on mean, deviation, histogram and size 0.55, 0.50, 0.53; on the averaged features of a
frozen ImageNet SqueezeNet 1.1 0.83, 0.88, 0.89. That network fine-tuned for 10 epochs (seed 2,
200 test images): 0.999, and 0.98 from 120 training images in 24 epochs. 10 ms an image.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LABELS: Final = ("synthetic_clear", "synthetic_opacities")
DESCRIPTION: Final = "Synthetic phantom, not a patient"

# float32 at run time, (CANVAS_PX, CANVAS_PX) or what broadcasts to it. (For numpy's type stubs
# float32 times a Python float is float64.)
Field = NDArray[np.floating[Any]]
Random = np.random.Generator
_Stroke = tuple[Field, Field, Field]  # x, y in canvas units, ink; of one shape

# The canvas on which a chest is drawn, upright and centred. Unit: about half the inner width of
# a thorax. x grows to the image's right (the patient's left), y downwards, 0 is the middle.
CANVAS_PX: Final = 264
REACH: Final = 1.4
PX_PER_UNIT: Final = CANVAS_PX / (2 * REACH)
AXIS: Final[Field] = ((np.arange(CANVAS_PX) + 0.5) / PX_PER_UNIT - REACH).astype(np.float32)
X: Final[Field] = AXIS[None, :]
Y: Final[Field] = AXIS[:, None]
FROM_MIDLINE: Final[Field] = np.abs(X)
SIDE: Final = (AXIS > 0).astype(np.intp)  # per column: 0 the patient's right, 1 the left


def draw(label: str, number: int, seed: int = 2) -> NDArray[np.uint8]:
    """Draw phantom `number` (0, 1, ...) of a label: uint8 (H, W), grey, air is black.

    H and W vary from 256 to 340 px. The same arguments give the same bytes, whatever was drawn
    before. On another kind of processor single pixels may differ by one grey level (without
    AVX-512: 2 pixels of 7 million); another numpy may draw other random numbers.
    ValueError for a label that is not in `LABELS`.
    """
    if label not in LABELS:
        raise ValueError(f"unknown label {label!r}: not one of {', '.join(LABELS)}")
    rng = np.random.default_rng([seed, LABELS.index(label), number])
    finding = _opacities if label == LABELS[1] else _another_finding(rng)
    chest = _grow_chest(rng)
    shadow = _soft_tissue(rng, chest) + _bones(rng, chest)
    shadow += chest.lung * _lung_tissue(rng, chest, finding(rng, chest))
    shadow += _devices(rng)
    film = _expose(rng, _position(rng, shadow))
    _burn_in_letters(rng, film)
    return film


def write_dataset(folder: Path, train: int, valid: int, seed: int = 2) -> None:
    """Write `folder/{train,valid}/{label}/synthetic-0001.png` and so on.

    `train` and `valid` are images in all, split evenly over the labels (an odd one goes to the
    first). The numbers of valid follow those of train, so no image is in both. The folder appears
    complete or not at all; FileExistsError if it is there already.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if folder.exists():
        raise FileExistsError(f"{folder} is there already: remove it or choose another folder")
    text = PngInfo()
    text.add_text("Description", DESCRIPTION)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        unfinished = Path(scratch) / folder.name
        for class_index, label in enumerate(LABELS):
            number = 0
            for split, images in (("train", train), ("valid", valid)):
                home = unfinished / split / label
                home.mkdir(parents=True)
                for _ in range((images + len(LABELS) - 1 - class_index) // len(LABELS)):
                    number += 1
                    image = Image.fromarray(draw(label, number, seed))
                    image.save(home / f"synthetic-{number:04d}.png", pnginfo=text, compress_level=1)
        unfinished.rename(folder)


# Anatomy


@dataclass(frozen=True)
class _Chest:
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


def _grow_chest(rng: Random) -> _Chest:
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
    inner[:, 1] += 0.33 * heart**1.4 * _bell(AXIS - apex, np.where(apex > AXIS, 0.36, below))
    inner[:, 0] += 0.12 * heart**1.6 * _bell(AXIS - apex + 0.08, np.where(apex > AXIS, 0.3, below))
    inner[:, 1] += rng.uniform(0.03, 0.08) * _bell(AXIS + 0.5, 0.1)  # the aortic arch
    inner[:, 1] += rng.uniform(0.02, 0.06) * _bell(AXIS + 0.22, 0.13)  # the pulmonary trunk
    inner[:, 0] += rng.uniform(0.00, 0.05) * _bell(AXIS + 0.35, 0.3)  # the upper great vein
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
    lung = _ramp(to_wall, 0.035) * _ramp(to_inner, 0.06) * _ramp(to_floor, 0.045)
    depth = np.clip(to_wall * 2.2, 0, 1) * np.clip(to_inner * 2.5 + 0.3, 0, 1)
    depth = np.sqrt(depth) * np.clip(to_floor * 1.6 + 0.5, 0, 1)

    fat, neck, shoulder = rng.uniform(0, 0.2), rng.uniform(0.28, 0.38), rng.uniform(-1.17, -1.05)
    girth = _through(
        (-1.4, neck),
        (shoulder - 0.16, neck + 0.06),
        (shoulder, neck + 0.38),
        (shoulder + 0.16, 1.16),
        (shoulder + 0.4, 1.24),
        (-0.25, 1.06 + fat),
        (0.6, 1.03 + fat),
        (1.4, 1.03 + 1.8 * fat),
    )[:, None]
    return _Chest(top, base, heart, lung, wall[:, SIDE], floor, depth, shoulder, fat, girth)


def _soft_tissue(rng: Random, chest: _Chest) -> Field:
    """Trunk, arms, heart, belly: everything but bones and lungs, as if there were no air inside."""
    fat, skin = chest.fat, chest.girth - FROM_MIDLINE
    trunk = np.sqrt(np.clip(1 - (FROM_MIDLINE / chest.girth) ** 2, 0, 1)) * (0.62 + 0.6 * fat)
    trunk += _ramp(skin, 0.04) * 0.18

    abduction = rng.uniform(0.0, 0.35)
    to_bone = FROM_MIDLINE - (1.2 + fat + abduction * (AXIS + 0.7))[:, None]
    arm = np.sqrt(np.clip(1 - (to_bone / rng.uniform(0.16, 0.22)) ** 2, 0, 1)) * 0.6
    arm += _ramp(0.055 - np.abs(to_bone), 0.03) * 0.16
    trunk = np.maximum(trunk, arm * _ramp(AXIS - chest.shoulder - 0.25, 0.3)[:, None])

    trunk += _ramp(AXIS + 0.9, 1.0)[:, None] * _bell(AXIS, 0.2) * 0.3
    heart = _bell(AXIS - chest.base + 0.3, 0.4)[:, None] * _bell(AXIS - 0.12, 0.4 * chest.heart)
    trunk += heart * rng.uniform(0.12, 0.22)
    windpipe = _ramp(0.05 - np.abs(AXIS + rng.normal(0.01, 0.015)), 0.06)
    trunk -= _ramp(-0.45 - AXIS, 0.2)[:, None] * windpipe * rng.uniform(0.08, 0.18)

    belly = _ramp(AXIS - chest.base + 0.1, 0.7)[:, None] * _ramp(skin, 0.5)
    trunk += belly * rng.uniform(0.15, 0.35)
    cloud = _noise(rng, 7)
    if rng.random() < 0.5:  # gas in the stomach
        x, y = AXIS - rng.uniform(0.35, 0.6), AXIS - chest.base - rng.uniform(0.2, 0.32)
        gas = _bell(y, rng.uniform(0.06, 0.12))[:, None] * _bell(x, rng.uniform(0.12, 0.22))
        trunk -= _ramp(gas * (1 + 0.3 * cloud) - 0.5, 0.5) * rng.uniform(0.08, 0.22)
    if rng.random() < 0.4:  # breasts
        size, low = rng.uniform(0.34, 0.46), rng.uniform(0.25, 0.5)
        x, y = (FROM_MIDLINE - rng.uniform(0.5, 0.62)) / size, (Y - low) / (0.9 * size)
        thickness = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1)) * _ramp(y + 0.5, 2.5)
        trunk += thickness * rng.uniform(0.08, 0.25)
    return trunk + cloud * _ramp(skin, 0.3) * 0.02


def _bones(rng: Random, chest: _Chest) -> Field:
    density, spacing = rng.uniform(0.06, 0.15), rng.uniform(0.185, 0.22)
    outward = (FROM_MIDLINE / chest.wall) ** 2
    cage = _ramp(chest.wall + 0.06 - FROM_MIDLINE, 0.06) * _ramp(chest.floor + 0.25 - Y, 0.5)

    # All ribs at once: `rib` counts them along the chest, and one is drawn in each unit of it.
    droop = rng.uniform(0.22, 0.36)
    rib = (Y - chest.top - outward * (droop * outward - 0.1)) * (1 / spacing)
    back = _tubes(rib, 0.28) * _ramp(FROM_MIDLINE - 0.14, 0.05) * _ramp(rib, 0.4)
    rib = (Y - chest.top - rng.uniform(0.3, 0.5) + outward * rng.uniform(0.4, 0.6)) / spacing
    front = _tubes(rib, 0.3) * _ramp(FROM_MIDLINE - 0.45, 0.25) * rng.uniform(0.3, 0.7)
    rim = _ramp(0.05 - np.abs(chest.wall + 0.03 - FROM_MIDLINE), 0.05)
    rim *= _ramp(AXIS - chest.top - 0.2, 0.3)[:, None]
    bone = cage * (back + front + 0.7 * rim)

    tilt, height = rng.uniform(0.02, 0.16), rng.uniform(-0.86, -0.72)
    uneven = np.where(SIDE == 0, 1, -1) * rng.normal(0, 0.02)
    line = height + uneven - tilt * FROM_MIDLINE + 0.035 * np.sin(FROM_MIDLINE * 5.5 - 0.5)
    across = np.abs(Y - line.astype(np.float32)) / 0.05
    along = _ramp(FROM_MIDLINE - 0.1, 0.06) * _ramp(1.08 - FROM_MIDLINE, 0.1)
    bone += _ramp(1 - across, 0.35) * along * (1 + 0.6 * np.minimum(across, 1) ** 2)

    blade = FROM_MIDLINE - rng.uniform(0.8, 1.0) + rng.uniform(0.1, 0.3) * (Y + 0.35)
    upper = _ramp(AXIS + 0.85, 0.15) * _ramp(-AXIS, 0.4) * 0.6
    bone += _ramp(blade, 0.04) * _ramp(0.22 - blade, 0.3) * upper[:, None]
    joint = 1 - ((FROM_MIDLINE - 1.2) / 0.17) ** 2 - ((Y + 0.7) / 0.17) ** 2
    bone += _ramp(joint, 1.2) * 0.7
    bone *= _ramp(chest.girth - FROM_MIDLINE - 0.04, 0.1)

    phase = AXIS / (0.95 * spacing) % 1
    vertebra = 0.55 + 0.45 * _ramp(0.36 - np.abs(phase - 0.5), 0.12)
    waist = 0.1 + 0.06 * (phase - 0.5) ** 2
    spine = _ramp(waist[:, None] - FROM_MIDLINE, 0.04) * vertebra[:, None]
    return bone * density + spine * rng.uniform(0.04, 0.12)


def _lung_tissue(rng: Random, chest: _Chest, found: Field) -> Field:
    """Air, vessels and what was found; a finding hides vessels, as fluid among them would."""
    vessels = _vessels(rng) * rng.uniform(0.08, 0.16)
    hila = _bell(np.abs(AXIS) - 0.27, 0.11) * rng.uniform(0.05, 0.13)
    texture = _noise(rng, 64) * 0.010 + _noise(rng, 22) * 0.012
    air = rng.uniform(0.42, 0.65) * (0.45 + 0.55 * chest.depth)
    tissue: Field = vessels * (1 - np.clip(found * 1.5, 0, 0.7)) + texture
    tissue += _bell(AXIS + 0.06, 0.16)[:, None] * hila + found - air
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
    thick = gaussian_filter(_ink(strokes[:2]), 1.2, truncate=2.5)
    thin = gaussian_filter(_ink(strokes[2:]), 0.7, truncate=2.5)
    vessels: Field = np.minimum(2.6 * thick, 1.2) + np.minimum(0.9 * thin, 0.8)
    return vessels


# Findings: fields of added attenuation. `_spread` gives those of both labels the same totals.


def _opacities(rng: Random, chest: _Chest) -> Field:
    """The positive class: soft patches, mostly on both sides, low and near the wall."""
    patches = int(rng.integers(4, 10))
    side = np.where(rng.random(patches) < rng.uniform(0.25, 0.75), -1, 1)
    y = np.clip(rng.normal(0.2, 0.3, patches), -0.7, 0.7)
    x = side * np.interp(y, AXIS, chest.wall[:, 0]) * (1 - np.abs(rng.normal(0.08, 0.2, patches)))
    spots = _spots(x, y, rng.uniform(0.08, 0.2, (2, patches)), rng.uniform(0.5, 1, patches))
    return _spread(rng, chest, np.clip(spots * (1 + 0.7 * _noise(rng, 26)), 0, 1))


def _nothing(rng: Random, chest: _Chest) -> Field:
    return np.zeros_like(chest.lung)


def _consolidation(rng: Random, chest: _Chest) -> Field:
    """One lobe, dense, with a straight fissure for a border."""
    if rng.random() < 0.5:
        fissure = rng.uniform(-0.2, 0.1)
        lobe = _ramp(fissure + 0.15 * (FROM_MIDLINE - 0.5) - Y, 0.06)
        lobe = lobe * _ramp(Y - fissure + rng.uniform(0.3, 0.6), 0.3)
    else:
        lobe = _ramp(Y - rng.uniform(0.0, 0.3), 0.3)
    lobe = lobe * (rng.integers(2) == SIDE)
    return _spread(rng, chest, lobe * np.clip(0.8 + 0.25 * _noise(rng, 14), 0, 1))


def _nodules(rng: Random, chest: _Chest) -> Field:
    """Small and round, with a clear border, anywhere."""
    count = int(rng.integers(4, 12))
    x = rng.choice([-1, 1], count) * rng.uniform(0.3, 0.8, count)
    radius = np.tile(rng.uniform(0.04, 0.085, count), (2, 1))
    spots = _spots(x, rng.uniform(-0.8, 0.6, count), radius, np.ones(count))
    return _spread(rng, chest, _ramp(spots - 0.5, 0.6), 0.25)


def _effusion(rng: Random, chest: _Chest) -> Field:
    """Fluid on one side: dense below a level that rises towards the wall."""
    level = chest.base - rng.uniform(0.0, 0.4)
    fluid = _ramp(Y - level + 0.35 * (FROM_MIDLINE / chest.wall) ** 4, 0.15)
    return _spread(rng, chest, fluid * (rng.integers(2) == SIDE))


def _haze(rng: Random, chest: _Chest) -> Field:
    """Both sides, soft like the opacities, but around the hila."""
    radius = np.tile(rng.uniform(0.14, 0.28, 2), (2, 1)) * [[1.0], [1.4]]
    spots = _spots(np.array([-0.32, 0.34]), rng.normal(0, 0.07, 2), radius, np.ones(2))
    return _spread(rng, chest, np.clip(spots * (1 + 0.4 * _noise(rng, 20)), 0, 1))


def _another_finding(rng: Random) -> Callable[[Random, _Chest], Field]:
    """What a negative has instead."""
    findings = (_nothing, _consolidation, _nodules, _effusion, _haze)
    return findings[rng.choice(len(findings), p=[0.25, 0.2, 0.15, 0.15, 0.25])]


def _spread(rng: Random, chest: _Chest, shape: Field, most: float = 0.4) -> Field:
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
    columns = _bell(AXIS - x[:, None], radius[0][:, None])
    rows = _bell(AXIS - y[:, None], radius[1][:, None]) * weight[:, None]
    return np.asarray(np.einsum("ny,nx->yx", rows, columns), np.float32)


# Film


def _devices(rng: Random) -> Field:
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
    wires: Field = np.minimum(gaussian_filter(_ink(strokes), 0.6, truncate=3), 0.2)
    return wires


def _position(rng: Random, shadow: Field) -> Field:
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


def _expose(rng: Random, film: Field) -> NDArray[np.uint8]:
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
            open_ = _ramp(at - near, 3) * _ramp(size - 1 - far - at, 3)
            grey *= open_[:, None] if axis == 0 else open_
    grey += rng.standard_normal(film.shape, dtype=np.float32) * rng.uniform(0.004, 0.025)
    darkest, brightest = rng.uniform(0, 30), rng.uniform(200, 245)
    grey = darkest + (brightest - darkest) * grey
    return np.asarray(np.clip(grey, 0, 255), np.uint8)


WHITE: Final = np.uint8(235)
# 3 x 5 dots a letter, rows from the top.
LETTERS: Final = {
    "C": "### #.. #.. #.. ###",
    "E": "### #.. ##. #.. ###",
    "H": "#.# #.# ### #.# #.#",
    "I": "### .#. .#. .#. ###",
    "L": "#.. #.. #.. #.. ###",
    "N": "##. #.# #.# #.# #.#",
    "R": "##. #.# ##. #.# #.#",
    "S": "### #.. ### ..# ###",
    "T": "### .#. .#. .#. .#.",
    "Y": "#.# #.# .#. .#. .#.",
}


def _burn_in_letters(rng: Random, film: NDArray[np.uint8]) -> None:
    """Write SYNTHETIC into a random corner, and often the side marker, as on real films."""
    height, width = film.shape
    word = _word("SYNTHETIC", 1 + int(rng.random() < 0.5))
    at_y = int(rng.choice([4, height - 4 - word.shape[0]]))
    at_x = int(rng.choice([4, width - 4 - word.shape[1]]))
    film[at_y : at_y + word.shape[0], at_x : at_x + word.shape[1]] = word
    if rng.random() < 0.6:
        on_left = rng.random() < 0.5
        marker = _word("R" if on_left else "L", 3)
        at_y = int(rng.uniform(0.07, 0.25) * height)
        at_x = int(rng.uniform(0.03, 0.08) * width)
        at_x = at_x if on_left else width - at_x - marker.shape[1]
        corner = film[at_y : at_y + marker.shape[0], at_x : at_x + marker.shape[1]]
        np.maximum(corner, marker, out=corner)


def _word(text: str, dot_px: int) -> NDArray[np.uint8]:
    """White letters on black, with a border of one dot."""
    rows = [
        "." + ".".join(LETTERS[letter].split()[row] for letter in text) + "." for row in range(5)
    ]
    dots = np.array([[dot == "#" for dot in row] for row in rows], np.uint8)
    return np.pad(dots, ((1, 1), (0, 0))).repeat(dot_px, axis=0).repeat(dot_px, axis=1) * WHITE


# Shapes


def _ramp(distance: Field, softness: float) -> Field:
    """0 outside, 1 inside: a smooth step, `softness` wide, where the distance inwards is 0."""
    t = np.asarray(distance, np.float32) * np.float32(1 / softness)
    t += np.float32(0.5)
    np.clip(t, 0, 1, out=t)
    step: Field = 3 - 2 * t
    step *= t
    step *= t
    return step


def _bell(distance: Field, radius: float | Field) -> Field:
    """1 at distance 0, 1/e at the radius."""
    return np.asarray(np.exp(-((distance / radius) ** 2)), np.float32)


def _tubes(number: Field, half: float) -> Field:
    """A hollow tube, brighter at its borders, around 0.5, 1.5, ...; `half` is half its width."""
    across = np.abs(number - np.floor(number) - 0.5) * (1 / half)
    return np.asarray(_ramp(1 - across, 0.4) * (0.55 + 0.45 * np.minimum(across, 1) ** 2))


def _through(*knots: tuple[float, float]) -> Field:
    """A smooth line (CANVAS_PX,) through (y, value) knots."""
    at, value = np.array(knots).T
    window = np.hanning(35)
    line = np.pad(np.interp(AXIS, at, value), 17, mode="edge")
    return np.convolve(line, window / window.sum(), mode="valid").astype(np.float32)


def _noise(rng: Random, bumps: int) -> Field:
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


def _ink(strokes: Sequence[_Stroke]) -> Field:
    """Points with their amounts of ink, summed per pixel; what falls beside the canvas is lost."""
    x, y, ink = (
        np.concatenate([np.ravel(part) for part in parts]) for parts in zip(*strokes, strict=True)
    )
    column, row = (np.floor((at + REACH) * PX_PER_UNIT).astype(np.intp) for at in (x, y))
    on = (column >= 0) & (row >= 0) & (column < CANVAS_PX) & (row < CANVAS_PX)
    sums = np.bincount(row[on] * CANVAS_PX + column[on], ink[on], minlength=CANVAS_PX**2)
    return sums.reshape(CANVAS_PX, CANVAS_PX).astype(np.float32)
