"""Building and testing the rendered iOS package here: image files, outputs and runs of XCTest.

Where there is no Apple SDK the package is compiled against the stand-ins of ``tests/export/swift``:
image files become a JSON header with raw pixels, in layouts that ImageIO gives, and the model a
table from pixels to probabilities.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from export.manifest.manifest import read_manifest
from export.packages.ios import package_files
from export.runtimes.swift import INSIDE, run_swift
from pipeline.resize.notation import height_width
from pipeline.resize.rule import Size

STAND_INS = Path(__file__).parent / "swift"
# In the order of their imports.
FRAMEWORKS = ("CoreGraphics", "CryptoKit", "ImageIO", "CoreVideo", "CoreML", "UIKit")
ANSWERS = "answers.json"
OUTCOME = re.compile(r"^Test Case '\w+\.(\w+)' (passed|failed|skipped)", re.MULTILINE)

# CGImageAlphaInfo and byte order, as in a CGBitmapInfo.
NONE, PREMULTIPLIED_LAST, LAST, FIRST, SKIP_LAST, SKIP_FIRST = 0, 1, 3, 4, 5, 6
LITTLE_16, LITTLE_32, BIG_32 = 0x1000, 0x2000, 0x4000


@dataclass(frozen=True)
class Run:
    """One run of the package's tests: outcome by the test's name, and all that was printed."""

    outcomes: Mapping[str, str]
    output: str

    @property
    def failed(self) -> set[str]:
        return {name for name, outcome in self.outcomes.items() if outcome == "failed"}

    @property
    def errors(self) -> str:
        return "\n".join(line[:400] for line in self.output.splitlines() if ": error: " in line)


def write_package(folder: Path, assets: Path) -> None:
    """The asset folder as it is published: artifacts, the files next to them, and the package."""
    skipped = shutil.ignore_patterns("Package.swift", "Sources", "Tests", "golden")
    shutil.copytree(assets, folder, ignore=skipped)
    for path, text in package_files(read_manifest(assets)).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def build_stand_ins(work: Path) -> None:
    """Compile the stand-ins into ``work/standins``."""
    folder = work / "standins"
    shutil.copytree(STAND_INS, folder)
    for name in FRAMEWORKS:
        done = run_swift(
            [
                *("swiftc", "-O", "-emit-library", "-emit-module", "-parse-as-library"),
                *("-module-name", name, "-module-link-name", name, "-I", ".", "-L", "."),
                *("-o", f"lib{name}.so", f"{name}.swift"),
            ],
            folder,
        )
        assert done.returncode == 0, done.stdout


def replace_changed(work: Path, new: Path) -> None:
    """Make `work` what `new` is, but for what was built; the same files keep their times."""
    wanted = {path.relative_to(new): path for path in new.rglob("*") if path.is_file()}
    for path in work.rglob("*"):
        if path.is_file() and ".build" not in path.parts and path.relative_to(work) not in wanted:
            path.unlink()
    for name, path in wanted.items():
        there = work / name
        if not there.is_file() or there.read_bytes() != path.read_bytes():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, there)


def run_tests(
    work: Path, *, stand_ins: bool, only: str | None = None, optimised: bool = False
) -> Run:
    """Build ``work/package`` and run its XCTests; `optimised` for large images."""
    options = ["--package-path", "package", "--disable-swift-testing"]
    if optimised:
        options += ["-Xswiftc", "-O"]
    if stand_ins:
        place = f"{INSIDE}/standins"
        for option in (f"-I{place}", "-warnings-as-errors"):
            options += ["-Xswiftc", option]
        for option in (f"-L{place}", f"-rpath={place}"):
            options += ["-Xlinker", option]
    if only:
        options += ["--filter", only]
    variables = {"STANDIN_ANSWERS": f"{INSIDE}/{ANSWERS}"} if stand_ins else {}
    done = run_swift(["swift-test", *options], work, variables)
    outcomes = dict(OUTCOME.findall(done.stdout))
    failed = "failed" in outcomes.values()
    assert outcomes, done.stdout[-6000:]
    assert (done.returncode != 0) == failed, done.stdout[-6000:]
    return Run(outcomes, done.stdout)


def write_image(path: Path, image: Image.Image, info: int | None = None) -> None:
    """A decoded image, in the layout that ImageIO gives for its mode, or in that of `info`."""
    model, bits, palette = "rgb", 8, None
    if image.mode == "P" and image.has_transparency_data:
        image = image.convert("RGBA")  # Core Graphics has no palettes with alpha
    if image.mode.startswith("I;16"):
        model, bits = "monochrome", 16
        pixels = np.asarray(image).astype("<u2")[..., None]
        info = LITTLE_16
    elif image.mode in ("L", "LA"):
        model = "monochrome"
        pixels = np.asarray(image)
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
        info = LAST if image.mode == "LA" else NONE
    elif image.mode == "P":
        model = "indexed"
        palette = list(image.getpalette() or ())
        pixels, info = np.asarray(image)[..., None], NONE
    elif image.mode == "CMYK":
        model, pixels, info = "cmyk", np.asarray(image), NONE
    else:
        info = (LAST if image.mode == "RGBA" else SKIP_LAST) if info is None else info
        pixels = _arranged(np.asarray(image.convert("RGBA")), info)
    rows = pixels.reshape(pixels.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 32)), constant_values=77)
    header = {
        "width": image.width,
        "height": image.height,
        "bits": bits,
        "pixelBits": bits * pixels.shape[2],
        "model": model,
        "info": info,
        "bytesPerRow": padded.shape[1],
        "orientation": image.getexif().get(0x0112),
        "palette": palette,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(header).encode() + b"\n" + padded.tobytes())


def _arranged(rgba: np.ndarray[Any, Any], info: int) -> np.ndarray[Any, Any]:
    alpha, order = info & 0x1F, info & 0x7000
    if alpha == NONE:
        return np.ascontiguousarray(rgba[..., :3])
    if alpha in (FIRST, SKIP_FIRST):
        rgba = rgba[..., [3, 0, 1, 2]]
    if order == LITTLE_32:
        rgba = rgba[..., ::-1]
    return np.ascontiguousarray(rgba)


def write_answers(
    work: Path, side: Size, models: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    """The outputs of the stand-ins' models: model -> SHA-256 of the pixels -> output."""
    height, width = height_width(side)
    document = {"height": height, "width": width, "models": models}
    (work / ANSWERS).write_text(json.dumps(document), encoding="utf-8")


def answer(labels: Sequence[str], probs: Sequence[float], evidence: Any = None) -> dict[str, Any]:
    """One output; `evidence` is an array (1, K, h, w)."""
    found: dict[str, Any] = {"probs": dict(zip(labels, map(float, probs), strict=True))}
    if evidence is not None:
        found["evidence"] = [float(value) for value in evidence.ravel()]
        found["evidenceShape"] = list(evidence.shape)
    return found
