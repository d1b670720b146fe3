"""Words of a model's owner inside Markdown: shown as they are, whatever characters they have."""

from __future__ import annotations

import re
from typing import Final

# What Markdown or HTML would interpret inside a line (CommonMark 0.31, 6). A backslash does not
# escape the last four everywhere.
ESCAPES: Final = {
    **{ord(mark): f"\\{mark}" for mark in "\\`*[]#~"},
    **{ord(mark): f"&#{ord(mark)};" for mark in "&<|@"},
}
UNDERSCORES: Final = re.compile(r"(?P<before>^|[^_])(?P<these>_+)(?=(?P<after>.?))")


def shown(text: str) -> str:
    """`text` as one line of plain text."""
    return UNDERSCORES.sub(_escaped, " ".join(text.split()).translate(ESCAPES))


def shown_as_code(text: str) -> str:
    """`text` as one line of code: between more backticks than it has in a row."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def _escaped(found: re.Match[str]) -> str:
    """Underscores inside a word mean nothing."""
    before, these, after = found["before"], found["these"], found["after"]
    if before.isalnum() and after.isalnum():
        return found[0]
    return before + these.replace("_", "\\_")
