"""Sides and methods as people write them and as JSON holds them, and the rule from both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.errors import BadInput
from pipeline.resize.rule import FILLED, Resize, Size

LEAST_SIDE: Final = 32
MOST_SIDE: Final = 1024


def resize_by(method: str, side: Size) -> Resize:
    """The rule from a method as people write it: ``crop``, ``pad`` (``pad:reflection``), ...

    Raises:
        BadInput: there is no such method.
    """
    height, width = height_width(side)
    mode, _, detail = method.partition(":")
    if mode == "squish" and detail.isdecimal() and detail.isascii():
        return Resize(height, width, mode, margin=int(detail))
    if mode in FILLED and not detail:
        detail = "reflection" if mode == "pad" else "zeros"  # fastai's own
    return Resize(height, width, mode, detail or None)


def height_width(side: Size) -> tuple[int, int]:
    """Height and width of an input."""
    return (side, side) if isinstance(side, int) else side


def require_size(resize: Resize) -> None:
    """Raise `BadInput` for an input that no network here takes."""
    for name, length in (("height", resize.height), ("width", resize.width)):
        if not LEAST_SIDE <= length <= MOST_SIDE:
            which = "side" if isinstance(resize.side, int) else f"{name} of the side"
            raise BadInput(f"{which} {length} is not between {LEAST_SIDE} and {MOST_SIDE}")


def read_side(text: str) -> Size:
    """``224``, or ``192x256``: height x width, as fastai's `Resize((192, 256))`.

    Raises:
        ValueError: it is neither.
    """
    numbers = text.lower().split("x")
    if len(numbers) > 2 or not all(n.isdecimal() and n.isascii() for n in numbers):
        raise ValueError(f"{text!r} is neither a number of pixels nor HEIGHTxWIDTH")
    height, width = int(numbers[0]), int(numbers[-1])
    return (height, width) if height != width else height


def side_text(side: Size) -> str:
    """As `read_side` reads it."""
    return str(side) if isinstance(side, int) else "x".join(map(str, side))


def read_resize(document: Mapping[str, Any], side: Any) -> Resize:
    """The rule from JSON that its file's schema allows: its `document` and its `side`.

    Raises:
        BadInput: its parts contradict each other.
    """
    height, width = side if isinstance(side, list | tuple) else (side, side)
    mode, fill, margin = document["mode"], document.get("fill"), document.get("margin", 0)
    return Resize(int(height), int(width), mode, fill, int(margin))  # 224.0 is JSON's integer too
