"""An image in bands gives, bit for bit, the pixels of the whole one, and is never copied whole."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.resize_filters import versions
from pipeline.image_files import large_image
from pipeline.image_files.decoding import opened, read_upright, upright_rgb
from pipeline.image_files.large_image import LargeImage
from pipeline.image_files.orientation import TURNS
from pipeline.images import read_image, read_whole
from pipeline.resize import pixels as resize_pixels
from pipeline.resize.pixels import resized
from pipeline.resize.rule import FILLED, FILLS, MODES, Resize

SIDE = 32
RULES = [
    Resize(*size, mode, fill, margin)
    for size in ((SIDE, SIDE), (24, 40))
    for mode in MODES
    for fill in (FILLS if mode in FILLED else [None])
    for margin in ((0, 8) if mode == "squish" else (0,))
]
FILTERS = ("BILINEAR", "BOX", "BICUBIC", "LANCZOS", "HAMMING")


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is large, and a band has a few rows."""
    monkeypatch.setattr(large_image, "LARGE_PIXELS", 1)
    monkeypatch.setattr(large_image, "BAND_PIXELS", 500)
    monkeypatch.setattr(resize_pixels, "BAND_PIXELS", 500)


def drawn(mode: str, width: int, height: int) -> Image.Image:
    rng = np.random.default_rng([width, height])
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width), dtype=np.uint16))
    rgba = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8))
    return rgba.convert("RGB").convert(mode) if mode in ("P", "1", "L") else rgba.convert(mode)


def both_ways(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Image.Image, LargeImage]:
    """The file read whole, and in bands."""
    whole = read_upright(path)
    assert isinstance(whole, Image.Image)
    with monkeypatch.context() as patch:
        patch.setattr(large_image, "LARGE_PIXELS", 1)
        banded = read_upright(path)
    assert isinstance(banded, LargeImage)
    return whole, banded


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "RGBA", "LA", "P", "1"])
@pytest.mark.parametrize("orientation", [1, *TURNS])
def test_bands_give_the_pixels_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image.png"
    drawn(mode, 71, 53).save(path, exif=exif)
    monkeypatch.setattr(large_image, "BAND_PIXELS", 500)
    whole, banded = both_ways(path, monkeypatch)
    assert banded.size == (banded.width, banded.height) == whole.size
    assert np.array_equal(np.asarray(banded.whole()), np.asarray(whole))
    for size in ((SIDE, SIDE), (90, 20), (20, 90), (70, 1), whole.size):
        made, expected = (i.resize(size, Image.Resampling.BILINEAR) for i in (banded, whole))
        assert made.mode == expected.mode == "RGB"
        assert np.array_equal(np.asarray(made), np.asarray(expected)), size


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize("box", [None, (3, 5, 60, 40), (0.5, 7.25, 70.5, 50.75)])
@pytest.mark.parametrize("shape", [(71, 53), (53, 90)])
def test_so_does_every_filter_and_every_box(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    resample: str,
    box: tuple[float, float, float, float] | None,
    shape: tuple[int, int],
) -> None:
    path = tmp_path / "image.png"
    drawn("RGB", *shape).save(path)
    monkeypatch.setattr(large_image, "BAND_PIXELS", 500)
    whole, banded = both_ways(path, monkeypatch)
    box = box and tuple(min(value, shape[i % 2]) for i, value in enumerate(box))
    filter_ = Image.Resampling[resample]
    made, expected = (i.resize((SIDE, 24), filter_, box) for i in (banded, whole))
    assert np.array_equal(np.asarray(made), np.asarray(expected))


def test_so_does_every_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    monkeypatch.setattr(large_image, "BAND_PIXELS", 500)
    for width, height, *size in rng.integers(1, 120, (60, 4)).tolist():
        path = tmp_path / "image.png"
        drawn("L", width, height).save(path)
        whole, banded = both_ways(path, monkeypatch)
        made, expected = (i.resize(tuple(size), Image.BILINEAR) for i in (banded, whole))
        assert np.array_equal(np.asarray(made), np.asarray(expected)), (width, height, size)


def test_a_transparent_colour_is_black_in_bands_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.png"
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:] = (200, 100, 50)
    pixels[3:20] = (9, 8, 7)
    Image.fromarray(pixels).save(path, transparency=(200, 100, 50))
    whole, banded = both_ways(path, monkeypatch)
    assert np.asarray(whole).max() == 9
    assert np.array_equal(np.asarray(banded.whole()), np.asarray(whole))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method}-{rule.pixels}")
@pytest.mark.parametrize("orientation", [1, 6])
def test_so_does_every_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: Resize, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image.png"
    for size in ((71, 53), (30, 190), (20, 20)):
        drawn("RGBA", *size).save(path, exif=exif)
        whole, banded = both_ways(path, monkeypatch)
        expected = resized(whole, rule)
        with monkeypatch.context() as patch:
            patch.setattr(large_image, "BAND_PIXELS", 500)
            patch.setattr(resize_pixels, "BAND_PIXELS", 500)
            assert np.array_equal(resized(banded, rule), expected), size


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method}-{rule.pixels}")
@pytest.mark.usefixtures("small_is_large")
def test_no_copy_at_full_size_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: Resize
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "image.png"
    drawn("RGBA", 200, 300).save(path, exif=exif)
    made: list[int] = []

    def counting(before: Callable[..., Image.Image]) -> Callable[..., Image.Image]:
        def counted(*given: object) -> Image.Image:
            result = before(*given)
            made.append(result.width * result.height)
            return result

        return counted

    for name in ("convert", "transpose", "crop"):
        monkeypatch.setattr(Image.Image, name, counting(getattr(Image.Image, name)))
    assert read_image(path, rule).shape == (*rule.size, 3)
    assert len(made) > 3 * 10
    assert max(made) < 2 * large_image.BAND_PIXELS


@pytest.mark.usefixtures("small_is_large")
def test_a_large_image_is_resized_by_all_filters_too(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    drawn("L", 71, 53).save(path)
    with opened(path) as image:
        expected = versions(image.convert("RGB"), RULES[0])
        assert np.array_equal(versions(upright_rgb(image), RULES[0]), expected)


@pytest.mark.usefixtures("small_is_large")
def test_a_large_image_can_be_had_whole(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    drawn("L", 71, 53).save(path)
    assert isinstance(read_upright(path), LargeImage)
    assert np.array_equal(np.asarray(read_whole(path)), np.asarray(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16", "RGBA", "P"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_very_large_image_is_made_smaller_for_the_other_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "image.png"
    drawn(mode, 71, 53).save(path, exif=exif)
    monkeypatch.setattr(large_image, "BAND_PIXELS", 500)
    whole, banded = both_ways(path, monkeypatch)
    assert np.array_equal(np.asarray(banded.fewer()), np.asarray(whole))
    monkeypatch.setattr(large_image, "MOST_AT_ONCE", 71 * 53 // 9 + 1)
    fewer = whole.reduce(3)
    assert np.array_equal(np.asarray(banded.fewer()), np.asarray(fewer))
    made = versions(banded, RULES[0])
    assert np.array_equal(made[0], read_image(path, RULES[0]))
    assert np.array_equal(made[1:], versions(fewer, RULES[0])[1:])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method}-{rule.pixels}")
@pytest.mark.usefixtures("small_is_large")
def test_nor_is_any_copy_at_full_size_made_for_the_other_filters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: Resize
) -> None:
    path = tmp_path / "image.png"
    drawn("RGBA", 200, 300).save(path)
    monkeypatch.setattr(large_image, "MOST_AT_ONCE", 2000)
    made: list[int] = []

    def counting(before: Callable[..., Image.Image]) -> Callable[..., Image.Image]:
        def counted(*given: object) -> Image.Image:
            result = before(*given)
            made.append(result.width * result.height)
            return result

        return counted

    image = read_upright(path)
    for name in ("convert", "crop", "reduce", "resize"):
        monkeypatch.setattr(Image.Image, name, counting(getattr(Image.Image, name)))
    versions(image, rule)
    assert max(made) < 200 * 300 // 4


def write_black(path: Path, side: int, depth: int, colour: int, pixel_bytes: int) -> None:
    """A square PNG of nothing but zeros, written row by row."""
    packer = zlib.compressobj(1)
    row = bytes(1 + pixel_bytes * side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, body in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b"")):
            file.write(struct.pack(">I", len(body)) + kind + body)
            file.write(struct.pack(">I", zlib.crc32(kind + body)))


PEAK = """
import sys
from pathlib import Path
from pipeline.data.resize_filters import resized_versions
from pipeline.images import read_image
from pipeline.resize.rule import Resize

{reader}(Path(sys.argv[1]), Resize(224, 224))
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.ci("decodes 177 million pixels")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak of memory")
@pytest.mark.parametrize("pixels", [(16, 0, 2), (8, 2, 3)], ids=["16 bits", "RGB"])
@pytest.mark.parametrize("reader", ["read_image", "resized_versions"])
def test_the_largest_image_takes_less_than_a_gigabyte(
    tmp_path: Path, pixels: tuple[int, int, int], reader: str
) -> None:
    path = tmp_path / "large.png"
    write_black(path, 13300, *pixels)
    command = [sys.executable, "-c", PEAK.format(reader=reader), str(path)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 1e9
