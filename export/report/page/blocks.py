"""The parts of a page: sections of blocks, frozen, every figure as in its document.

A section builds them from documents; only ``html`` decides how they look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.json_files import JsonObject

# A verdict is shown by a word and a shape; colour is only an addition.
WORDS: Final = {
    "pass": "passed",
    "fail": "FAILED",
    "rejected": "REJECTED",
    "accepted": "ACCEPTED",
    "not_run": "not run",
    "not_here": "not here",
    "done": "done",
    "failed": "FAILED",
}
SHAPES: Final = {
    "pass": "\N{CHECK MARK}",
    "fail": "\N{MULTIPLICATION X}",
    "rejected": "\N{CIRCLED DIVISION SLASH}",
    "accepted": "\N{CIRCLED TIMES}",
    "not_run": "\N{WHITE CIRCLE}",
    "not_here": "\N{WHITE CIRCLE}",
    "done": "\N{CHECK MARK}",
    "failed": "\N{MULTIPLICATION X}",
}


@dataclass(frozen=True)
class Figure:
    """A number: `value` is the document's, `text` is for people."""

    value: float
    text: str


@dataclass(frozen=True)
class StatusWord:
    """A result: `status` is a key of `WORDS`."""

    status: str

    @property
    def word(self) -> str:
        """For people."""
        return WORDS.get(self.status, self.status)

    @property
    def shape(self) -> str:
        """One character, so that colour is not the only sign."""
        return SHAPES.get(self.status, "")


Cell = str | Figure | StatusWord


@dataclass(frozen=True)
class Table:
    """Rows of as many cells as `head` has; the first cell of a row names it."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @property
    def kind(self) -> str:
        """Of the block, for the template."""
        return "table"

    def is_number(self, column: int) -> bool:
        """Whether the column is aligned as numbers."""
        cells = [row[column] for row in self.rows]
        return any(isinstance(cell, Figure) for cell in cells)


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite chart, and the same figures as a table for those who cannot see it.

    Attributes:
        name: unique on the page; letters, digits and hyphens.
        title: what it shows.
        description: what can be seen in it, in a sentence or two; read out instead of the picture.
        spec: Vega-Lite, as JSON holds it.
        tables: the figures.
    """

    name: str
    title: str
    description: str
    spec: JsonObject
    tables: Sequence[Table]

    @property
    def kind(self) -> str:
        """Of the block, for the template."""
        return "chart"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    @property
    def kind(self) -> str:
        """Of the block, for the template."""
        return "text"


@dataclass(frozen=True)
class Notice:
    """Something that must not be overlooked: what failed, was not run or is not here, and why."""

    status: str
    title: str
    reason: str

    @property
    def kind(self) -> str:
        """Of the block, for the template."""
        return "notice"

    @property
    def verdict(self) -> StatusWord:
        """Its word and shape."""
        return StatusWord(self.status)


@dataclass(frozen=True)
class Code:
    """Code to be copied."""

    title: str
    language: str
    text: str

    @property
    def kind(self) -> str:
        """Of the block, for the template."""
        return "code"


@dataclass(frozen=True)
class Fold:
    """Blocks behind a summary, which a reader opens."""

    summary: str
    blocks: Sequence[Block]
    is_open: bool = False

    @property
    def kind(self) -> str:
        """Of the block, for the template."""
        return "fold"


Block = Table | Chart | Text | Notice | Code | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page; `name` is its anchor."""

    name: str
    title: str
    blocks: Sequence[Block]


def number(value: float | None, form: str) -> Cell:
    """A figure in the format `form`, such as ``.4f``; empty for None."""
    return "" if value is None else Figure(value, format(value, form))


def scientific(value: float | None) -> Cell:
    """A small difference, such as 1.5e-06."""
    return number(value, ".1e")


def count(value: int | None) -> Cell:
    """A whole number with commas."""
    return number(value, ",")


def percent(value: float | None) -> Cell:
    """A share in percent."""
    return number(value, ".1%")
