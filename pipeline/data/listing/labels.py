"""Names of labels: one spelling for what looks the same, and words for what does not match.

``café`` can be written with one character for é or with two (Unicode's NFC and NFD; macOS and Linux
differ), and a blank at the end is not seen at all.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from itertools import combinations
from os import fsencode
from typing import Final

from pipeline.errors import BadInput

MOST: Final = 10  # labels that a message lists
UNPRINTABLE: Final = frozenset({"Cc", "Zl", "Zp"})  # control characters, line separators


def plain_label(text: str) -> str:
    """In Unicode's NFC, without blanks around it.

    Raises:
        BadInput: nothing is left, it has a line break or a control character, or came from a file
            name that is not UTF-8.
    """
    refuse_undecodable(text)
    plain = unicodedata.normalize("NFC", text).strip()
    if not plain:
        raise BadInput(f"the label {text!r} is blank; name it")
    if any(unicodedata.category(character) in UNPRINTABLE for character in plain):
        raise BadInput(
            f"the label {text!r} has a line break or another control character; rename it"
        )
    return plain


def refuse_undecodable(name: str) -> None:
    """Raise `BadInput` for the name of a file or folder that is not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"the name {str(fsencode(name))[1:]} is not UTF-8, so it cannot be written down; "
            "rename it"
        ) from error


def quoted(labels: Collection[str]) -> str:
    """The first labels in quotation marks, and how many more there are."""
    listed = ", ".join(repr(label) for label in sorted(labels)[:MOST])
    more = f" and {len(labels) - MOST} more" if len(labels) > MOST else ""
    return f"{listed}{more}" if labels else "none"


def differ_in_case(labels: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of labels that differ in capitals alone."""
    by_fold: dict[str, list[str]] = {}
    for label in sorted(labels):
        by_fold.setdefault(label.casefold(), []).append(label)
    return [pair for same in by_fold.values() for pair in combinations(same, 2)]


def refuse_one_sided(place: object, sides: Mapping[str, Collection[str]]) -> None:
    """Refuse labels that only one of two sides has, with what both have.

    Args:
        place: where they are, for the message.
        sides: name of each side, such as ``train``, and its labels.
    """
    everything = sorted({label for labels in sides.values() for label in labels})
    for side, labels in sides.items():
        lacking = [label for label in everything if label not in labels]
        if not lacking:
            continue
        few = ", ".join(lacking[:MOST]) + (f" ({len(lacking)} labels)" * (len(lacking) > MOST))
        told = "; ".join(f"{name} has {quoted(its)}" for name, its in sides.items())
        alike = [
            f"; {one!r} and {other!r} differ in capitals only: give them one spelling"
            for one, other in differ_in_case(everything)
            if one in lacking or other in lacking
        ]
        raise BadInput(f"{place}: no {side} image has the label {few}; {told}{''.join(alike[:1])}")


def same_labels(given: Collection[str], wanted: Collection[str]) -> dict[str, str] | None:
    """How `wanted` spells each label of `given`, in the order of `given`; None: others are meant.

    The labels of an older checkpoint may be in another form than `plain_label` gives.
    """
    spelled = {unicodedata.normalize("NFC", label).strip(): label for label in wanted}
    if set(spelled) != set(given) or len(spelled) < len(wanted):
        return None
    return {label: spelled[label] for label in given}
