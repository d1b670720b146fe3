"""Pictures drawn from random numbers: polygons, textures, metal, shapes, things in photographs.

In: a generator and the number of the class. Out: one picture of that class.
"""

from __future__ import annotations

import colorsys
import math
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

WIDTH: Final = 96
HEIGHT: Final = 80
CORNERS: Final = (3, 4, 5, 6)
TEXTURES: Final = (
    "bricks",
    "checks",
    "clouds",
    "dots",
    "grain",
    "rings",
    "slanted",
    "stripes",
)
FIGURES: Final = ("circle", "cross", "square", "triangle")
THINGS: Final = ("anneau", "balle", "boîte", "croix", "étoile")  # ring, ball, box, cross, star
PHOTOS: Final = ("china.jpg", "flower.jpg")  # of scikit-learn


def hued_polygons(classes: int) -> Callable[[Generator, int], Image.Image]:
    """A polygon on a patchwork; its hue, and for many classes its corners too, are the class."""

    def draw(rng: Generator, label: int) -> Image.Image:
        picture = _patchwork(rng)
        hue = (label / classes + rng.uniform(-0.3, 0.3) / max(classes, 8)) % 1
        colour = colorsys.hsv_to_rgb(hue, 0.8, rng.uniform(0.6, 1))
        radius = float(rng.integers(10, 20))
        at = int(rng.integers(24, WIDTH - 24)), int(rng.integers(20, HEIGHT - 20))
        corners = _corners(at, radius, CORNERS[label % len(CORNERS)], 0.0)
        ImageDraw.Draw(picture).polygon(corners, fill=tuple(int(255 * c) for c in colour))
        return picture

    return draw


def textured(rng: Generator, label: int) -> Image.Image:
    """A grey surface of the kind `TEXTURES[label]`, at a scale and contrast of its own."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    size = rng.uniform(5, 11)
    x, y = x + rng.uniform(0, size), y + rng.uniform(0, size)
    kind = TEXTURES[label]
    row = np.floor(y / size)
    if kind == "bricks":
        surface = np.minimum((x + row % 2 * size) % (2 * size), y % size) > 1.5
    elif kind == "checks":
        surface = (np.floor(x / size) + row) % 2
    elif kind == "dots":
        surface = np.hypot(x % size - size / 2, y % size - size / 2) < size / 3
    elif kind == "rings":
        surface = np.sin(np.hypot(x - WIDTH / 2, y - HEIGHT / 2) * 2 * math.pi / size)
    elif kind == "slanted":
        surface = np.sin((x + y * rng.uniform(0.6, 1.4)) * 2 * math.pi / size)
    elif kind == "stripes":
        surface = np.sin(x * 2 * math.pi / size)
    else:
        surface = _clouds(rng, size if kind == "clouds" else 1.0)
    surface = surface.astype(np.float64)
    contrast = rng.uniform(25, 70) / max(surface.std(), 1e-6)
    noisy = 128 + contrast * (surface - surface.mean()) + rng.normal(0, 25, surface.shape)
    return _grey(noisy)


def brushed_metal(rng: Generator, label: int) -> Image.Image:
    """A brushed surface with a tint; label 0 has a scratch."""
    lines = rng.normal(0, 14, (HEIGHT, 1)) + rng.normal(0, 6, (HEIGHT, WIDTH))
    tint = rng.uniform(0.8, 1, 3)
    pixels = (rng.uniform(110, 170) + lines)[..., None] * tint
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if label == 0:
        x, y = int(rng.integers(10, WIDTH - 10)), int(rng.integers(10, HEIGHT - 10))
        angle, length = rng.uniform(0, math.pi), rng.uniform(15, 40)
        end = x + length * math.cos(angle), y + length * math.sin(angle)
        tone = int(rng.choice([70, 225]))
        ImageDraw.Draw(picture).line([(x, y), end], fill=(tone,) * 3, width=2)
    return picture


def grey_figure(rng: Generator, label: int) -> Image.Image:
    """The outline of one of `FIGURES` in noise, turned at random."""
    picture = Image.fromarray(rng.normal(128, 30, (HEIGHT, WIDTH)).clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    radius = float(rng.integers(10, 24))
    at = int(rng.integers(26, WIDTH - 26)), int(rng.integers(26, HEIGHT - 26))
    tone, turn = int(rng.choice([20, 235])), rng.uniform(0, math.pi)
    kind = FIGURES[label]
    if kind == "cross":
        a, b, c, d = _corners(at, radius, 4, turn)
        pen.line([a, c], fill=tone, width=3)
        pen.line([b, d], fill=tone, width=3)
    else:
        count = {"circle": 36, "square": 4, "triangle": 3}[kind]
        ends = _corners(at, radius, count, turn)
        pen.line([*ends, ends[0]], fill=tone, width=3)
    return picture


def photographed(rng: Generator, label: int) -> Image.Image:
    """A thing of the kind `THINGS[label]` in a photograph, cut out of another, lit from a side."""
    ground, skin = (_piece_of_a_photo(rng, photo) for photo in rng.permutation(len(PHOTOS)))
    thing = _silhouette(rng, THINGS[label])
    y, x = np.mgrid[:HEIGHT, :WIDTH] / WIDTH
    turn = rng.uniform(0, 2 * math.pi)
    light = 1 + rng.uniform(0.6, 1.2) * ((x - 0.5) * math.cos(turn) + (y - 0.4) * math.sin(turn))
    tint = rng.uniform(0.6, 1.4, 3)
    lit = Image.fromarray(
        (np.asarray(skin) * tint * light[..., None]).clip(0, 255).astype(np.uint8)
    )
    below = ImageChops.offset(thing, 3, 3).filter(ImageFilter.GaussianBlur(3))
    shaded = Image.composite(ImageEnhance.Brightness(ground).enhance(0.4), ground, below)
    soft = thing.filter(ImageFilter.GaussianBlur(0.7))
    pixels = np.asarray(Image.composite(lit, shaded, soft), dtype=np.float64)
    return Image.fromarray((pixels + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))


def _piece_of_a_photo(rng: Generator, photo: int) -> Image.Image:
    from sklearn.datasets import load_sample_image

    whole = Image.fromarray(load_sample_image(PHOTOS[photo]))
    scale = rng.uniform(1, 3)
    width, height = int(WIDTH * scale), int(HEIGHT * scale)
    left = int(rng.integers(whole.width - width))
    top = int(rng.integers(whole.height - height))
    piece = whole.crop((left, top, left + width, top + height))
    return piece.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def _silhouette(rng: Generator, kind: str) -> Image.Image:
    """Where the thing is: 255, elsewhere 0."""
    mask = Image.new("L", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(mask)
    radius = float(rng.integers(16, 28))
    at = int(rng.integers(30, WIDTH - 30)), int(rng.integers(30, HEIGHT - 30))
    turn = rng.uniform(0, math.pi)
    if kind in ("anneau", "balle"):
        pen.circle(at, radius, fill=255)
        pen.circle(at, radius * 0.55, fill=0 if kind == "anneau" else 255)
    elif kind == "croix":
        for corner in _corners(at, radius, 4, turn)[:2]:
            opposite = (2 * at[0] - corner[0], 2 * at[1] - corner[1])
            pen.line([corner, opposite], fill=255, width=int(radius * 0.5))
    else:
        outer = _corners(at, radius, 4 if kind == "boîte" else 5, turn)
        inner = _corners(at, radius * 0.4, 5, turn + math.pi / 5)
        star = [corner for pair in zip(outer, inner, strict=False) for corner in pair]
        pen.polygon(outer if kind == "boîte" else star, fill=255)
    return mask


def _corners(
    at: tuple[int, int], radius: float, count: int, turn: float
) -> list[tuple[float, float]]:
    angles = [turn + 2 * math.pi * i / count for i in range(count)]
    return [(at[0] + radius * math.cos(a), at[1] + radius * math.sin(a)) for a in angles]


def _patchwork(rng: Generator) -> Image.Image:
    ground = rng.integers(60, 200, (HEIGHT // 8, WIDTH // 8, 3)).astype(np.uint8)
    return Image.fromarray(ground).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def _clouds(rng: Generator, size: float) -> NDArray[np.float64]:
    """Noise whose spots are `size` pixels wide."""
    coarse = rng.normal(0, 1, (math.ceil(HEIGHT / size), math.ceil(WIDTH / size)))
    picture = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), dtype=np.float64)


def _grey(pixels: NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
