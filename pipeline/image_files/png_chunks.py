"""A PNG file without its text and its colour profile, which no pixel depends on here.

Pillow refuses a file in which these are large once decompressed, however sound its pixels are.
"""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import BinaryIO

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
UNREAD: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})
AROUND: Final = 12  # bytes of a chunk's length, kind and checksum


def without_text(path: Path) -> Path | BytesIO:
    """What Pillow should open: the file itself, or the rest of a PNG with such chunks.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return path
        kept = _kept(file)
        if kept is None:
            return path
        rest = BytesIO()
        for start, end in kept:
            file.seek(start)
            rest.write(file.read(end - start))
    rest.seek(0)
    return rest


def _kept(file: BinaryIO) -> list[tuple[int, int]] | None:
    """Begin and end of what is to be read, all that follows damage too; None: everything."""
    size = file.seek(0, 2)
    ranges, begin, at = [], 0, len(SIGNATURE)
    while at + AROUND <= size:
        file.seek(at)
        length, kind = struct.unpack(">I4s", file.read(8))
        end = at + AROUND + length
        if end > size:
            break
        if kind in UNREAD:
            ranges.append((begin, at))
            begin = end
        at = end
    return [*ranges, (begin, size)] if ranges else None
