"""What a file does to its pixels before the program begins, required exactly.

A program begins at float32 (N, 3, H, W), 0 to 255. A file is given uint8 (N, H, W, 3): it casts
them and permutes their axes. Where `row_normalisation` made it, mean and std stand before the
permutation, on rows of W x 3 numbers; here they are taken back to one number a channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from export.errors import CannotRunHere

if TYPE_CHECKING:
    from torch import fx

    from pipeline.program.builder import Builder

CHANNELS: Final = 3
FLOAT32: Final = 6  # torch's number of the type
ON_ROWS: Final = {
    "aten::sub": "sub.Tensor",
    "aten::sub_": "sub.Tensor",
    "aten::div": "div.Tensor",
    "aten::div_": "div.Tensor",
}


@dataclass(eq=False)
class FileInput:
    """The pixels on their way to the program's input; each step takes the one before.

    Attributes:
        side: height and width.
        axes: ``NHWC``, ``NCHW``, or ``NHR``: rows of W x 3 numbers.
        cast: whether they are float32 yet.
        terms: operation and operand (1, 3, 1, 1) of what was computed on rows.
        taken: whether a step was made from here.
    """

    side: tuple[int, int]
    axes: str = "NHWC"
    cast: bool = False
    terms: list[tuple[str, Tensor]] = field(default_factory=list)
    taken: bool = False

    def after(self, build: Builder, name: str, arguments: list[Any]) -> FileInput | fx.Node:
        """The result of an operator.

        Raises:
            CannotRunHere: it is none of the steps.
        """
        if self.taken:
            raise CannotRunHere("a file that uses its pixels twice is not known here")
        self.taken = True
        made = FileInput(self.side, self.axes, self.cast, self.terms)
        height, width = self.side
        match name, arguments:
            case "aten::to", [type_, *_] if type_ == FLOAT32 and not self.cast:
                made.cast = True
            case "aten::permute", [[0, 3, 1, 2]] if self.axes == "NHWC":
                made.axes = "NCHW"
            case "aten::flatten", [2] | [2, -1 | 3] if self.axes == "NHWC":
                made.axes = "NHR"
            case "aten::reshape", [[1 | -1, h, w, 3]] if self.axes == "NHR":
                if (h, w) != (height, width):
                    raise CannotRunHere(f"pixels of {height}x{width} as {h}x{w} are not known here")
                made.axes = "NHWC"
            case _, [Tensor() as row] if name in ON_ROWS and self.axes == "NHR" and self.cast:
                made.terms = [*self.terms, (ON_ROWS[name], _channels(row, width))]
            case _:
                raise CannotRunHere(f"{name} on {self.axes} pixels is not known here")
        return made.node(build) if made.cast and made.axes == "NCHW" else made

    def node(self, build: Builder) -> fx.Node:
        """The program's input, and what was computed on rows."""
        x = build.pixels
        for operation, operand in self.terms:
            x = build.add(operation, x, operand)
        return x


def _channels(row: Tensor, width: int) -> Tensor:
    """The numbers (1, 3, 1, 1) of which a row repeats."""
    channels = row[:CHANNELS]
    if row.shape != (width * CHANNELS,) or not torch.equal(channels.repeat(width), row):
        raise CannotRunHere("pixels normalised by place are not known here")
    return channels.reshape(1, CHANNELS, 1, 1)
