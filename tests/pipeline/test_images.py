from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import BadInput
from pipeline.images import read_image
from pipeline.resize.pixels import resized
from pipeline.resize.rule import Resize

SIDE = 32  # an image of SIDE x SIDE is not resized: its pixels can be compared one by one
ORIENTATION = 0x0112


def save(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (20, 90), (300, 200), (1, 1)])
@pytest.mark.parametrize("side", [32, 64])
def test_the_output_is_uint8_of_the_side_asked_for(tmp_path, size, side):
    path = save(Image.new("RGB", size, (10, 20, 30)), tmp_path / "image.png")
    pixels = read_image(path, side)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (side, side, 3)
    assert np.all(pixels == (10, 20, 30))


def test_channels_are_red_green_blue(tmp_path):
    pixels = noise(SIDE, SIDE)
    path = save(Image.fromarray(pixels), tmp_path / "image.png")
    assert np.array_equal(read_image(path, SIDE), pixels)


# What is stored, for an image that is to be shown as `upright` (EXIF 2.3, 4.6.4 A, tag 0x0112).
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_obeyed(tmp_path, orientation):
    upright = noise(SIDE, SIDE, seed=1)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    path = save(stored, tmp_path / "image.png", exif=exif)
    assert np.array_equal(read_image(path, SIDE), upright)


def test_a_photograph_taken_upright_is_read_upright(tmp_path):
    stored = np.zeros((40, 80, 3), dtype=np.uint8)
    stored[:, :40, 0] = 255  # red on the left, which orientation 6 shows on top
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = save(Image.fromarray(stored), tmp_path / "image.jpg", exif=exif, quality=95)
    red = read_image(path, SIDE)[..., 0]
    assert red[:14].min() > 200
    assert red[18:].max() < 55


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_keeps_its_contrast(tmp_path, suffix):
    grey = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    path = save(Image.fromarray(grey), tmp_path / f"xray.{suffix}")
    pixels = read_image(path, SIDE)
    assert np.array_equal(pixels[..., 0], np.rint(grey / 257).astype(np.uint8))
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert len(np.unique(pixels)) == 256  # clipped to white there would be two or three


def test_eight_bit_grey_becomes_three_equal_channels(tmp_path):
    grey = noise(SIDE, SIDE)[..., 0]
    pixels = read_image(save(Image.fromarray(grey), tmp_path / "xray.png"), SIDE)
    assert np.array_equal(pixels, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (200, 100, 50, 255), (200, 100, 50)),
        ("RGBA", (200, 100, 50, 0), (0, 0, 0)),
        ("RGBA", (200, 100, 50, 128), (100, 50, 25)),
        ("LA", (200, 128), (100, 100, 100)),
        ("LA", (255, 0), (0, 0, 0)),
    ],
)
def test_transparency_is_painted_over_black(tmp_path, mode, colour, expected):
    path = save(Image.new(mode, (SIDE, SIDE), colour), tmp_path / "image.png")
    assert np.all(read_image(path, SIDE) == expected)


def test_a_palette_gives_its_colours(tmp_path):
    image = Image.new("P", (SIDE, SIDE), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert np.all(read_image(save(image, tmp_path / "image.png"), SIDE) == (200, 100, 50))


def test_a_transparent_colour_of_a_palette_is_black(tmp_path):
    image = Image.new("P", (SIDE, SIDE), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    image.putpixel((0, 0), 2)
    path = save(image, tmp_path / "image.png", transparency=1)
    assert np.all(read_image(path, SIDE)[1:] == (0, 0, 0))


def test_one_bit_is_black_and_white(tmp_path):
    image = Image.new("1", (SIDE, SIDE), 0)
    image.paste(1, (0, 0, SIDE, SIDE // 2))
    pixels = read_image(save(image, tmp_path / "image.png"), SIDE)
    assert np.all(pixels[: SIDE // 2] == 255)
    assert np.all(pixels[SIDE // 2 :] == 0)


def test_cmyk_becomes_rgb(tmp_path):
    path = save(Image.new("CMYK", (SIDE, SIDE), (0, 255, 255, 0)), tmp_path / "image.tif")
    assert np.all(read_image(path, SIDE) == (255, 0, 0))


def test_the_image_is_squished_and_not_cropped(tmp_path):
    wide = np.zeros((30, 240, 3), dtype=np.uint8)
    wide[:, :24] = 255  # a tenth on the left, which a crop to a square would lose
    pixels = read_image(save(Image.fromarray(wide), tmp_path / "image.png"), 40)
    assert pixels[:, :3].min() > 200
    assert pixels[:, 5:].max() < 50


def test_a_fine_checkerboard_shrinks_to_grey(tmp_path):
    # By an odd factor each sample falls on a pixel: without antialiasing it stays black and white.
    rows, columns = np.indices((3 * SIDE, 3 * SIDE))
    board = ((rows + columns) % 2 * 255).astype(np.uint8)
    pixels = read_image(save(Image.fromarray(board), tmp_path / "board.png"), SIDE)
    inner = pixels[1:-1, 1:-1]
    assert inner.min() >= 124
    assert inner.max() <= 131


@pytest.mark.parametrize("size", [(97, 61), (150, 40), (20, 25)])
def test_the_filter_is_the_antialiased_bilinear_one(size):
    pixels = noise(*size)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None].double(),
        (SIDE, SIDE),
        mode="bilinear",
        antialias=True,
    )[0].permute(1, 2, 0)
    made = resized(Image.fromarray(pixels), Resize(SIDE, SIDE))
    difference = made.astype(float) - expected.numpy()
    assert np.abs(difference).max() <= 1.5  # Pillow rounds to bytes after each of its two passes


def test_an_image_is_turned_upright_before_the_models_own_resize(tmp_path):
    stored = noise(40, 90)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = save(Image.fromarray(stored), tmp_path / "image.png", exif=exif)
    rule = Resize(48, 32, "crop")
    upright = Image.fromarray(np.ascontiguousarray(np.rot90(stored, -1)))
    assert np.array_equal(read_image(path, rule), resized(upright, rule))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
def test_a_truncated_file_is_refused_by_name(tmp_path, kind):
    whole = BytesIO()
    Image.fromarray(noise(90, 90)).save(whole, kind)
    path = tmp_path / "cut.img"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) * 2 // 3])
    with pytest.raises(BadInput, match=r"cut\.img"):
        read_image(path, SIDE)


@pytest.mark.parametrize("content", [b"", b"not an image\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_a_file_that_is_no_image_is_refused_by_name(tmp_path, content):
    path = tmp_path / "note.jpg"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"note\.jpg"):
        read_image(path, SIDE)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name in ("missing.png", "folder.png"):
        with pytest.raises(BadInput, match=name):
            read_image(tmp_path / name, SIDE)


def test_an_image_that_would_fill_the_memory_is_refused_by_name(tmp_path, monkeypatch):
    path = save(Image.new("L", (50, 50)), tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(BadInput, match=r"bomb\.png is refused for its size"):
        read_image(path, SIDE)
