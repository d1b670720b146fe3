r"""Text of a manifest inside generated source code: literals and comments of Kotlin and Swift.

Text from a model's author cannot leave the literal or comment that contains it.
"""

from __future__ import annotations

from typing import Final

SWIFT_ESCAPES: Final = {
    "\\": "\\\\",
    '"': '\\"',
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\0": "\\0",
}


def kotlin(text: str) -> str:
    """`text` as a Kotlin string literal, quotes included; what is not ASCII is escaped."""
    escaped = []
    for letter in text:
        if letter in '\\"$':
            escaped.append(f"\\{letter}")
        elif " " <= letter <= "~":
            escaped.append(letter)
        else:
            units = letter.encode("utf-16-be")
            escaped += [f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)]
    return f'"{"".join(escaped)}"'


def comment(text: str) -> str:
    """`text` inside a comment: one line that can neither end it nor open another."""
    one_line = " ".join(text.split())
    return one_line.replace("*/", "* /").replace("/*", "/ *")


def swift_string(text: str) -> str:
    r"""A Swift string literal: quotes, backslashes (so ``\(`` as well) and controls escaped."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def swift_comment(text: str) -> str:
    """A text that stays within one line of a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _escaped(character: str) -> str:
    if character in SWIFT_ESCAPES:
        return SWIFT_ESCAPES[character]
    return character if character.isprintable() else f"\\u{{{ord(character):x}}}"
