"""What a file says of itself beside its pixels cannot stop it, and XMP cannot turn it."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from pipeline.errors import BadInput
from pipeline.image_files.decoding import decode, read_upright
from pipeline.images import read_image

SIDE = 32
SIZE = (64, 48)
CORNER = (250, 10, 10)  # a red quarter, top left as stored


def picture() -> Image.Image:
    pixels = np.full((SIZE[1], SIZE[0], 3), 60, dtype=np.uint8)
    pixels[:24, :32] = CORNER
    return Image.fromarray(pixels)


def encoded(kind: str, **options: object) -> bytes:
    content = BytesIO()
    picture().save(content, kind, **options)
    return content.getvalue()


JPEG = encoded("JPEG", quality=95)


def with_segment(body: bytes) -> bytes:
    """The JPEG with one more APP1 segment, before all others."""
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + JPEG[2:]


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Tag, type, count and the four bytes of the value, little-endian."""
    directory = b"".join(struct.pack("<HHI", *e[:3]) + e[3] for e in sorted(entries))
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return b"Exif\0\0" + head + directory + bytes(68)


TURNED = (0x0112, 3, 1, struct.pack("<HH", 6, 0))


def is_turned(image: Image.Image) -> bool:
    """Whether a quarter turn to the right was made: the red is at the top right then."""
    assert image.size in (SIZE, SIZE[::-1])
    red_right = image.getpixel((image.width - 2, 1))[0] > 200
    assert red_right == (image.size != SIZE)
    return red_right


def test_no_odd_exif_tag_stops_a_jpeg_or_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    kinds = [(t, c, v) for t in range(1, 13) for c, v in ((1, b"\1\0\0\0"), (2, b"ab\0\0"))]
    found: Counter[bool] = Counter()
    for tag in (int(tag) for tag in ExifTags.Base if tag != TURNED[0]):
        kind, count, value = kinds[tag % len(kinds)]
        path.write_bytes(with_segment(exif_block(TURNED, (tag, kind, count, value))))
        found[is_turned(read_upright(path))] += 1
    assert found == {True: len(ExifTags.Base) - 1}


@pytest.mark.parametrize("kind", range(1, 13))
def test_no_type_of_an_exif_value_stops_a_jpeg(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "photo.jpg"
    for tag in (0x010F, 0x011A, 0x0131, 0x829A, 0x8769, 0x8825, 0x9286, 0xA420):
        path.write_bytes(with_segment(exif_block(TURNED, (tag, kind, 1, b"\7\0\0\0"))))
        assert is_turned(read_upright(path)), hex(tag)


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0" + bytes(40)])
def test_an_exif_block_that_cannot_be_read_turns_nothing(tmp_path: Path, block: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(with_segment(block))
    assert not is_turned(read_upright(path))


def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    for value in (0, 9, 65535):
        path.write_bytes(with_segment(exif_block((0x0112, 3, 1, struct.pack("<HH", value, 0)))))
        assert not is_turned(read_upright(path))


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def xmp_file(folder: Path, kind: str) -> Path:
    path = folder / f"photo.{kind}"
    if kind == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        picture().save(path, pnginfo=text)
    elif kind == "tif":
        picture().save(path, tiffinfo={700: XMP})
    elif kind == "webp":
        picture().save(path, lossless=True, xmp=XMP)
    else:
        path.write_bytes(with_segment(b"http://ns.adobe.com/xap/1.0/\0" + XMP))
    return path


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_an_orientation_in_xmp_turns_nothing(tmp_path: Path, kind: str) -> None:
    path = xmp_file(tmp_path, kind)
    assert Image.open(path).getexif().get(0x0112) == 6  # Pillow alone would turn it
    assert not is_turned(read_upright(path))


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_an_orientation_in_exif_does(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if kind == "webp" else {}
    picture().save(tmp_path / f"photo.{kind}", exif=exif, **options)
    assert is_turned(read_upright(tmp_path / f"photo.{kind}"))


@pytest.mark.parametrize("where", ["before the pixels", "after them"])
def test_long_text_does_not_stop_a_png(tmp_path: Path, where: str) -> None:
    text = PngImagePlugin.PngInfo()
    for i in range(3):
        text.add_text(f"note{i}", "a" * 3_000_000, zip=True)
    content = encoded("PNG", pnginfo=text)
    if where == "after them":
        start, end = content.index(b"zTXt") - 4, content.index(b"IDAT") - 4
        content = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    path = tmp_path / "text.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Decompressed data too large"):
        Image.open(path).load()  # Pillow alone refuses it
    assert np.array_equal(np.asarray(read_upright(path)), np.asarray(picture()))


def test_a_large_colour_profile_does_not_stop_a_png(tmp_path: Path) -> None:
    path = tmp_path / "profile.png"
    path.write_bytes(encoded("PNG", icc_profile=bytes(2_000_000)))
    assert np.array_equal(np.asarray(read_upright(path)), np.asarray(picture()))


@pytest.mark.parametrize("cut", [9, 40, 100, -60])
def test_a_png_with_text_that_is_cut_short_is_refused_by_name(tmp_path: Path, cut: int) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "a" * 100)
    path = tmp_path / "cut.png"
    path.write_bytes(encoded("PNG", pnginfo=text)[:cut])
    with pytest.raises(BadInput, match=r"cut\.png"):
        read_upright(path)


@pytest.mark.parametrize(
    ("dtype", "words"),
    [(np.int32, "32-bit integers"), (np.float32, "floating-point numbers")],
)
def test_pixels_without_a_known_white_point_are_refused(
    tmp_path: Path, dtype: type, words: str
) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.ones((8, 8), dtype)).save(path)
    for read in (read_upright, decode, lambda path: read_image(path, SIDE)):
        with pytest.raises(BadInput, match=rf"deep\.tif has pixels that are {words}.*65535"):
            read(path)


def test_no_warning_of_pillow_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(with_segment(exif_block((0x010F, 2, 60_000, b"\1\0\0\0"))))
    with warnings.catch_warnings(record=True) as shown:
        from pipeline.image_files import decoding

        decoding._ignore_warnings_about_metadata.cache_clear()
        read_upright(path)
    assert shown == []


def test_a_decoder_that_stumbles_is_told_by_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(JPEG)
    for error in (KeyError("x"), struct.error("y"), OverflowError("z"), RecursionError("r")):

        def fails(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fails)
        with pytest.raises(BadInput, match=r"photo\.jpg cannot be read as an image"):
            read_upright(path)
