"""The golden images: files in the formats, and with the oddities, that apps encounter.

In: a model's resize, and the kind of its drawn samples. Out: `GoldenImage`s, each with a file's
bytes, the pixels that the resize must produce, and how far another decoder may be from them. All
are drawn from numbers: samples (`export.images.drawn_samples`) and test cards; the same Pillow
writes the same bytes again.

Left out, because platforms disagree about them: CMYK (Pillow converts without a colour
profile, Core Graphics with one), files with an embedded profile, and formats that not every
platform decodes (WebP, HEIC).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from export.images.drawn_samples import SAMPLES, drawn
from pipeline.image_files.orientation import ORIENTATION
from pipeline.images import to_rgb, upright
from pipeline.resize.pixels import resized
from pipeline.resize.rule import Resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

GROUP: Final = "golden"  # of the parity images; their names start with it
FIRST_NUMBER: Final = 20_001  # samples that neither training nor parity draws
NEUTRAL: Final = "pictures"
JPEG_QUALITY: Final = 90


@dataclass(frozen=True)
class PixelTolerance:
    """How far correct pixels may be from the tensor, in counts of 0 to 255.

    Attributes:
        max_abs: of any value.
        mean_abs: over all values.
        reason: why these numbers.
    """

    max_abs: int
    mean_abs: float
    reason: str


EXACT: Final = PixelTolerance(0, 0.0, "lossless: every decoder gives the same pixels")
# Compared with Pillow's decoder (libjpeg-turbo, integer DCT, smooth chroma): the same library with
# its fast DCT and plain chroma, and FFmpeg's decoder. Grey: 4 and 0.50, colour: 4 and 0.95.
JPEG_GREY: Final = PixelTolerance(5, 0.75, "decoders of JPEG round differently")
JPEG_COLOUR: Final = PixelTolerance(
    6, 1.25, "decoders of JPEG round differently and enlarge its halved colour planes differently"
)
DEEP: Final = PixelTolerance(1, 0.7, "some decoders take the high byte of 16 bits, others round")
BLENDED: Final = PixelTolerance(1, 0.5, "colour times alpha is rounded or cut off")


@dataclass(frozen=True)
class GoldenImage:
    """One image file.

    Attributes:
        name: identifier.
        suffix: of the file: ``.png`` or ``.jpg``.
        content: the file.
        pixels: the expected result, uint8 (height, width, 3) RGB.
        why: what it reveals, one sentence.
        tolerance: for the pixels of other decoders.
    """

    name: str
    suffix: str
    content: bytes
    pixels: Pixels
    why: str
    tolerance: PixelTolerance


@cache
def golden_images(resize: Resize, samples: str = NEUTRAL) -> tuple[GoldenImage, ...]:
    """The golden images for a model of this resize and samples of this kind, in a fixed order."""
    return tuple(
        GoldenImage(name, suffix, content, _pixels(content, resize), why, tolerance)
        for name, suffix, content, why, tolerance in _files(*resize.size, samples)
    )


def _pixels(content: bytes, resize: Resize) -> Pixels:
    with Image.open(io.BytesIO(content)) as image:
        return resized(to_rgb(upright(image)), resize)


def _files(
    height: int, width: int, samples: str
) -> list[tuple[str, str, bytes, str, PixelTolerance]]:
    mark = SAMPLES[samples].mark
    png, jpeg = partial(_png, mark=mark), partial(_jpeg, mark=mark)
    card = Image.fromarray(_card(227, 331))
    one, other, third = (_sample(samples, index) for index in range(3))
    return [
        ("grey", ".png", png(one), "8-bit grey, as most grey files are.", EXACT),
        (
            "grey_jpeg",
            ".jpg",
            jpeg(other),
            "The same as JPEG, whose decoders differ by a count.",
            JPEG_GREY,
        ),
        (
            "colour_jpeg",
            ".jpg",
            jpeg(_tinted(640, 480)),
            "A photo in colour: its colour planes are stored at half the size.",
            JPEG_COLOUR,
        ),
        (
            "right_size",
            ".png",
            png(Image.fromarray(_card(width, height))),
            "Of the model's own size: nothing is to be resized, each pixel stays as it is.",
            EXACT,
        ),
        (
            "odd_size",
            ".png",
            png(card),
            "Prime numbers for width and height, in colour: no row ends on a round number.",
            EXACT,
        ),
        (
            "wide",
            ".png",
            png(Image.fromarray(_card(1200, 40))),
            "Thirty times as wide as high: shrinks one way and grows the other; shows a crop.",
            EXACT,
        ),
        (
            "upright_photo",
            ".jpg",
            jpeg(third.transpose(Image.Transpose.ROTATE_90), orientation=6),
            "A phone's upright photo: stored on its side, EXIF orientation 6.",
            JPEG_GREY,
        ),
        (
            "upside_down",
            ".jpg",
            jpeg(_smooth(300, 200), orientation=3),
            "EXIF orientation 3: upside down.",
            JPEG_GREY,
        ),
        (
            "other_side",
            ".jpg",
            jpeg(_smooth(200, 260), orientation=8),
            "EXIF orientation 8: on its other side.",
            JPEG_GREY,
        ),
        (
            "mirrored",
            ".jpg",
            jpeg(_smooth(260, 200), orientation=5),
            "EXIF orientation 5: on its side and mirrored, as front cameras store.",
            JPEG_GREY,
        ),
        (
            "grey_alpha",
            ".png",
            png(_with_alpha(_smooth(301, 257), _disc(301, 257))),
            "Grey with a transparent surround, which becomes black.",
            EXACT,
        ),
        (
            "colour_alpha",
            ".png",
            png(_with_alpha(Image.fromarray(_card(256, 192)), _ramp(256, 192))),
            "Colours with transparency of every degree, which is painted onto black.",
            BLENDED,
        ),
        (
            "palette",
            ".png",
            png(_indexed(320, 240), transparency=bytes([0, 255, 255, 255])),
            "A palette of four colours, the first of them transparent.",
            EXACT,
        ),
        (
            "grey_16_bit",
            ".png",
            png(_deep(280, 360)),
            "16-bit grey, as many detectors deliver: 65535 is white, not 255.",
            DEEP,
        ),
        (
            "one_pixel",
            ".png",
            png(Image.fromarray(np.array([[[200, 90, 30]]], dtype=np.uint8))),
            "A single pixel fills the whole input.",
            EXACT,
        ),
        (
            "tiny",
            ".png",
            png(Image.fromarray(_few(3, 5))),
            "3 x 5 pixels in colour: enlarged, with samples at half-pixel centres.",
            EXACT,
        ),
        (
            "huge",
            ".png",
            png(_striped(4000, 3000)),
            "12 megapixels with stripes of a few: a filter that does not antialias sees patterns.",
            EXACT,
        ),
    ]


def _png(image: Image.Image, mark: str, **options: Any) -> bytes:
    info = PngInfo()
    info.add_text("Description", mark)
    content = io.BytesIO()
    image.save(content, "PNG", pnginfo=info, compress_level=6, **options)
    return content.getvalue()


def _jpeg(image: Image.Image, mark: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY, exif=exif, comment=mark, optimize=True)
    return content.getvalue()


def _sample(kind: str, index: int) -> Image.Image:
    """A drawn sample in 8-bit grey."""
    return drawn(kind, index, FIRST_NUMBER + index).convert("L")


def _card(width: int, height: int) -> Pixels:
    """A test card, uint8 (H, W, 3): gradients, blocks of colour, and stripes of 2 and 3 pixels."""
    rows, columns = np.mgrid[0:height, 0:width]
    across, down = columns / max(width - 1, 1), rows / max(height - 1, 1)
    card = np.stack([200 * across + 20, 150 * down + 10, 90 - 60 * across], axis=-1)
    upper = down < 0.25
    card[upper & (columns // 2 % 2 == 0)] = (250, 220, 40)
    card[(down > 0.8) & (rows // 3 % 2 == 0)] = (20, 60, 240)
    card[(abs(across - 0.3) < 0.1) & (abs(down - 0.5) < 0.12)] = (230, 30, 20)
    card[(abs(across - 0.7) < 0.1) & (abs(down - 0.6) < 0.12)] = (240, 240, 240)
    return _counts(card)


def _counts(values: NDArray[Any]) -> Pixels:
    """Rounded to 0..255."""
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _smooth(width: int, height: int) -> Image.Image:
    """Soft grey shadows, different under every rotation and reflection."""
    rows, columns = np.mgrid[0:height, 0:width]
    x, y = columns / width, rows / height
    shadows = [(0.3, 0.4, 0.15, 150), (0.7, 0.45, 0.1, 110), (0.45, 0.85, 0.2, 70)]
    grey = (
        20
        + 40 * x
        + sum(
            height_of * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * spread**2))
            for cx, cy, spread, height_of in shadows
        )
    )
    return Image.fromarray(_counts(grey))


def _tinted(width: int, height: int) -> Image.Image:
    """Soft shadows in three colours; grey stripes, since JPEG halves colour, not brightness."""
    one = _smooth(width, height)
    turned = [one, one.transpose(Image.Transpose.ROTATE_180), ImageOps.mirror(one)]
    weights = (0.7, 0.6, 0.5)
    rgb = np.stack([np.asarray(i) * w for i, w in zip(turned, weights, strict=True)], axis=-1)
    stripes = (np.arange(width) // 2 % 2)[None, :, None] * np.linspace(0, 50, height)[:, None, None]
    return Image.fromarray(_counts(rgb + stripes))


def _disc(width: int, height: int) -> Pixels:
    rows, columns = np.mgrid[0:height, 0:width]
    inside = ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2) < 0.2
    return _counts(inside * 255)


def _ramp(width: int, height: int) -> Pixels:
    return np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8), (height, width))


def _with_alpha(image: Image.Image, alpha: Pixels) -> Image.Image:
    whole = image.copy()
    whole.putalpha(Image.fromarray(alpha))
    return whole


def _indexed(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    indices = (columns * 3 // width + rows * 5 // height) % 4
    image = Image.fromarray(indices.astype(np.uint8), mode="P")
    image.putpalette([250, 250, 250, 210, 40, 30, 40, 160, 60, 30, 60, 220])
    return image


def _deep(width: int, height: int) -> Image.Image:
    grey = np.asarray(_smooth(width, height), dtype=np.float64)
    low = np.mgrid[0:height, 0:width].sum(axis=0) % 128  # bits beyond the first 8
    return Image.fromarray(np.clip(grey * 257 - low, 0, 65535).astype(np.uint16))


def _few(width: int, height: int) -> Pixels:
    rows, columns = np.mgrid[0:height, 0:width]
    values = np.stack([columns * 100, rows * 60, (columns + rows) * 40], axis=-1)
    return _counts(values)


def _striped(width: int, height: int) -> Image.Image:
    """Large, grey: soft shadows in blocks, crossed by stripes finer than a pixel of the input."""
    blocks = np.asarray(_smooth(width // 40, height // 40))
    large = np.kron(blocks, np.ones((40, 40), dtype=np.uint8))
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    upright_ones, lying_ones = columns % 17 < 8, rows % 23 < 11
    dark = np.where(columns < width * 3 // 4, upright_ones, lying_ones)
    return Image.fromarray(np.where(dark, large // 3, large))
