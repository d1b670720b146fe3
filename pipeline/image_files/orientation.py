"""Which way up: the EXIF orientation of an image (EXIF 2.3, 4.6.4 A), and nothing else.

Pillow's own `exif_transpose` writes the metadata again, which fails for many a camera's, and obeys
an orientation in XMP, which neither browsers nor the apps' decoders do.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION: Final = 0x0112  # the tag
# Its value -> the member of Pillow's `Transpose` that puts the image upright.
TURNS: Final = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
# What each turn does to places: first these exchange x and y, then the others count from the end.
LYING: Final = frozenset({"TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"})
FROM_THE_RIGHT: Final = frozenset({"FLIP_LEFT_RIGHT", "ROTATE_180", "TRANSVERSE", "ROTATE_90"})
FROM_BELOW: Final = frozenset({"FLIP_TOP_BOTTOM", "ROTATE_180", "TRANSVERSE", "ROTATE_270"})
ENTRY: Final = 12  # bytes in a directory of TIFF: tag, type, count, value
INTEGERS: Final = {1: "B", 3: "H", 4: "I"}  # a type of TIFF -> struct's letter


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says; the same object if that is not at all."""
    return turned(image, turn_of(image))


def turn_of(image: Image.Image) -> str | None:
    """The turn that puts an image upright; None: it is, or its EXIF block cannot be read.

    Of a TIFF, which Pillow turns while it decodes, it is None.
    """
    return TURNS.get(_orientation(image.info.get("exif", b"")))


def _orientation(exif: bytes) -> int:
    """The tag's value, 0 if there is none.

    Pillow stops at the first of the other tags whose value lies outside of the block.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = ">" if tiff.startswith(b"MM") else "<"
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + ENTRY * count, ENTRY):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == ORIENTATION and kind in INTEGERS:
                return int(struct.unpack_from(order + INTEGERS[kind], tiff, entry + 8)[0])
    except struct.error:  # it ends before it says so
        pass
    return 0


def turned(image: Image.Image, turn: str | None) -> Image.Image:
    """The image turned; the same object for None."""
    from PIL import Image

    return image if turn is None else image.transpose(Image.Transpose[turn])


def stored_box(
    turn: str | None, size: tuple[int, int], box: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Where a part of the upright image lies in the stored one.

    Args:
        turn: as of `turn_of`.
        size: width and height as stored.
        box: left, top, right and bottom in the upright image.

    Returns:
        The same four in the stored image; `turned` makes of that part the upright one.
    """
    left, top, right, bottom = box
    if turn in LYING:
        left, top, right, bottom = top, left, bottom, right
    if turn in FROM_THE_RIGHT:
        left, right = size[0] - right, size[0] - left
    if turn in FROM_BELOW:
        top, bottom = size[1] - bottom, size[1] - top
    return left, top, right, bottom


def forget_xmp(image: Image.Image) -> None:
    """Keep Pillow from turning a TIFF by its XMP block. To be called before it is decoded."""
    image.info.pop("xmp", None)
