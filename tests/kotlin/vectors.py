"""What the Python code makes of images, for comparison with the Kotlin code.

In: an asset folder (for its golden images, where it has any). Out: files that `PillowTest` reads:
``NAME.argb`` as stored, ``NAME.rgb`` as it must come, ``index.txt``, ``on_black.bin``,
``decisions.txt``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from export.manifest.manifest import read_manifest
from pipeline.images import read_image
from pipeline.metrics.classification import decide
from pipeline.resize.rule import FILLED, FILLS, Resize

ORIENTATION: Final = 0x0112  # the EXIF tag
SIDES: Final = (224, 64, 33, 1)
RULES: Final = (
    Resize(64, 64, "crop"),
    Resize(48, 80, "crop"),
    Resize(101, 37, "crop"),
    Resize(64, 64, "squish", margin=16),
    Resize(37, 64, "squish", margin=8),
    Resize(70, 20, "squish"),
    *(
        Resize(height, width, mode, fill)
        for mode in FILLED
        for fill in FILLS
        for height, width in ((64, 64), (100, 37), (33, 90))
    ),
)


def write_vectors(folder: Path, assets: Path, seed: int = 0) -> int:
    """Write all of them into `folder`; return the number of images."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    lines = [_squished(folder, rng, i) for i in range(60)]
    lines += [_by_another_rule(folder, rng, i) for i in range(len(RULES) * 12)]
    lines += _golden(folder, assets)
    (folder / "index.txt").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    _write_on_black(folder / "on_black.bin")
    _write_decisions(folder / "decisions.txt", rng)
    return len(lines)


def _squished(folder: Path, rng: np.random.Generator, i: int) -> str:
    """A PNG of any size, shape, orientation and transparency, read by the project's own rule."""
    side = SIDES[i % len(SIDES)]
    orientation = i % 9 + (i % 9 == 0 and i % 2)  # 1 to 8, and 0, which is none of them
    width, height = (int(x) for x in rng.integers(1, 500, 2))
    if i % 5 == 0:  # just tall enough to change the order of the passes
        height = side + int(rng.integers(1, 300))
        width = max(1, side + (height - side) // 2 + int(rng.integers(-2, 3)))
        orientation = 1
    pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if i % 3:
        pixels[..., 3] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = folder / f"{i}.png"
    Image.fromarray(pixels).save(path, exif=exif)
    rule = Resize(side, side)
    return _vector(folder, path.stem, pixels, orientation, read_image(path, rule), rule)


def _by_another_rule(folder: Path, rng: np.random.Generator, i: int) -> str:
    """A PNG of any size and shape, many of them long or small."""
    rule = RULES[i % len(RULES)]
    width, height = (int(x) for x in np.exp(rng.uniform(0, np.log(700), 2)))
    if i % 4 == 0:  # of the input's shape: a frame and an image of one size
        times = int(rng.integers(1, 4))
        width, height = rule.width * times, rule.height * times
    pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    path = folder / f"rule_{i}.png"
    Image.fromarray(pixels).save(path)
    return _vector(folder, path.stem, pixels, 1, read_image(path, rule), rule)


def _golden(folder: Path, assets: Path) -> list[str]:
    """The golden images as an 8-bit decoder gives them, and their tensors."""
    file = assets / "golden" / "golden.json"
    if not file.is_file():
        return []
    pack = json.loads(file.read_text(encoding="utf-8"))
    rule = read_manifest(assets).model.rule
    lines = []
    for case in pack["cases"]:
        with (
            Image.open(assets / case["image"]) as image,
            Image.open(assets / case["tensor"]) as tensor,
        ):
            orientation = image.getexif().get(ORIENTATION, 1)
            wanted = np.asarray(tensor.convert("RGB"))
            pixels = _eight_bits(image)
        lines.append(_vector(folder, f"golden_{case['name']}", pixels, orientation, wanted, rule))
    return lines


def _eight_bits(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """uint8 (height, width, 4) of an image as it is stored; 16-bit grey by the project's rule."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.rint(np.asarray(image, dtype=np.float64) / 257.0).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(grey)
    return np.asarray(image.convert("RGBA"))


def _vector(
    folder: Path,
    name: str,
    pixels: np.ndarray[Any, Any],
    orientation: int,
    wanted: np.ndarray[Any, Any],
    rule: Resize,
) -> str:
    """A line of ``index.txt``: name, size as stored, orientation, and the rule for `PillowTest`."""
    height, width, _ = pixels.shape
    (folder / f"{name}.argb").write_bytes(pixels[..., [3, 0, 1, 2]].tobytes())
    (folder / f"{name}.rgb").write_bytes(wanted.tobytes())
    said = f"{rule.height},{rule.width},{rule.mode},{rule.fill or 'zeros'},{rule.margin}".upper()
    return f"{name} {width} {height} {orientation} {said}"


def _write_on_black(path: Path) -> None:
    """Every channel value at every alpha, painted onto black: row by row, a row an alpha."""
    alpha, channel = np.mgrid[0:256, 0:256].astype(np.uint8)
    image = Image.fromarray(np.stack([channel, channel, channel, alpha], axis=-1))
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    path.write_bytes(np.asarray(Image.alpha_composite(black, image))[..., 0].tobytes())


def _write_decisions(path: Path, rng: np.random.Generator) -> None:
    """Bits of the probabilities, positive, threshold, decision; many at the very threshold."""
    lines = []
    for i in range(200):
        threshold = round(float(rng.uniform(0.01, 0.99)), 4)
        if i % 2:
            positive: int | None = i // 2 % 2
            at = np.float32(threshold)
            near = (at, np.nextafter(at, np.float32(0)), np.nextafter(at, np.float32(1)))[i % 3]
            probs = np.array([[near, np.float32(1) - near]], dtype=np.float32)
            if positive == 1:
                probs = probs[:, ::-1]
        else:
            positive, threshold = None, 0.0
            probs = rng.dirichlet(np.ones(2 + i % 4), 1).round(1).astype(np.float32)
        decision = int(decide(probs, positive, threshold if positive is not None else None)[0])
        bits = ",".join(str(bit) for bit in np.ascontiguousarray(probs)[0].view(np.int32))
        rule = "- -" if positive is None else f"{positive} {threshold}"
        lines.append(f"{bits} {rule} {decision}")
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
