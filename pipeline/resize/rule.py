"""The rule of one model: what is taken of an image of any size, and the size that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.errors import BadInput

FILTER: Final = {"filter": "bilinear", "antialias": True}
# What fills a frame beyond the image -> what numpy calls it.
FILLS: Final = {"reflection": "reflect", "border": "edge", "zeros": "constant"}
MODES: Final = ("squish", "crop", "pad", "centre")
FILLED: Final = ("pad", "centre")

Size = int | tuple[int, int]  # a square's side, or height and width


@dataclass(frozen=True)
class Span:
    """What is taken of an image along one axis, in pixels.

    Attributes:
        start: of the first; negative where a frame begins before the image.
        length: beyond the image, where it does.
        image: the image's own length.
    """

    start: int
    length: int
    image: int

    @property
    def inside(self) -> tuple[int, int]:
        """First and end of those that are pixels of the image."""
        return max(self.start, 0), min(self.start + self.length, self.image)

    @property
    def beyond(self) -> tuple[int, int]:
        """How many before the image and after it are filled."""
        return max(-self.start, 0), max(self.start + self.length - self.image, 0)


@dataclass(frozen=True)
class Resize:
    """The rule of one model.

    Attributes:
        height, width: of its input in pixels.
        mode: one of `MODES`.
        fill: one of `FILLS`, of a ``pad`` and of ``centre``; None of the others.
        margin: pixels that a ``squish`` is larger by, both ways; the middle is kept.
    """

    height: int
    width: int
    mode: str = "squish"
    fill: str | None = None
    margin: int = 0

    def __post_init__(self) -> None:
        """Raise `BadInput` for a rule that does not exist."""
        if self.mode not in MODES:
            raise BadInput(f"resize {self.mode!r} is not one of {', '.join(MODES)}")
        if (self.fill is not None) != (self.mode in FILLED) or self.fill not in (None, *FILLS):
            raise BadInput(
                f"resize {self.mode} with fill {self.fill!r}: {' and '.join(FILLED)} have one of "
                f"{', '.join(FILLS)}, the others none"
            )
        if self.margin < 0 or (self.margin and self.mode != "squish"):
            raise BadInput(f"resize {self.mode} with margin {self.margin}: a squish alone has one")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def side(self) -> Size:
        """A square's side; otherwise height and width."""
        return self.height if self.height == self.width else self.size

    @property
    def pixels(self) -> str:
        """In words: width x height, as image sizes are told."""
        return f"{self.width} x {self.height}"

    @property
    def method(self) -> str:
        """As `resize_by` reads it: ``squish``, ``squish:32``, ``pad:zeros``."""
        detail = self.fill or self.margin
        return f"{self.mode}:{detail}" if detail else self.mode

    def window(self, width: int, height: int) -> tuple[Span, Span]:
        """What is taken of an image of this size: across, then down. At least a pixel each way."""
        if self.mode == "squish":
            return Span(0, width, width), Span(0, height, height)
        if self.mode == "centre":
            left, top = (width - self.width) // 2, (height - self.height) // 2
            return Span(left, self.width, width), Span(top, self.height, height)
        across, down = width / self.width, height / self.height
        scale = min(across, down) if self.mode == "crop" else max(across, down)
        taken = max(int(scale * self.width), 1), max(int(scale * self.height), 1)
        left, top = int((width - taken[0]) / 2), int((height - taken[1]) / 2)  # towards zero
        return Span(left, taken[0], width), Span(top, taken[1], height)

    def document(self) -> dict[str, object]:
        """Without the size, as checkpoint, manifest and golden pack hold it."""
        fill = {} if self.fill is None else {"fill": self.fill}
        margin = {"margin": self.margin} if self.margin else {}
        return {"mode": self.mode, **FILTER, **fill, **margin}

    def sentence(self) -> str:
        """What happens to an image, as a phrase."""
        to = f"{self.pixels} pixels"
        filled = {
            "zeros": "black",
            "border": "the pixels of its edge",
            "reflection": "its mirror image, its outermost pixels not repeated",
            None: "",
        }[self.fill]
        return {
            "squish": f"the whole of it squished to {to} (no crop, aspect ratio not kept)"
            if not self.margin
            else f"the whole of it squished to {self.width + self.margin} x "
            f"{self.height + self.margin} pixels (aspect ratio not kept), of which the middle "
            f"{to} are kept",
            "crop": f"the largest part from its middle with the shape of {to}, scaled to that size",
            "pad": f"the whole of it scaled to fit into {to} (aspect ratio kept), what is left of "
            f"the frame filled with {filled}",
            "centre": f"its middle {to}, not scaled; where it is smaller, filled with {filled}",
        }[self.mode]
