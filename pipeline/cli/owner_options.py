"""The options by which an owner says what a model is for, and what its images are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.data.owners_words import OwnersWords


def add_owner_options(parser: argparse.ArgumentParser, *, examples: bool = True) -> None:
    """The owner's words, and the column that says which images belong together."""
    group = parser.add_argument_group(
        "the owner's words",
        "of a model that is made: they stand in its checkpoint and wherever it is published",
    )
    group.add_argument(
        "--intended-use",
        metavar="TEXT",
        help="what the model may be used for, and what not; stands beside every answer "
        "(default: research only, nothing said)",
    )
    group.add_argument(
        "--images-are",
        dest="images_are",
        metavar="WORDS",
        help="what its images are called, in the plural (default: images)",
    )
    group.add_argument(
        "--looks-for",
        metavar="WORDS",
        help="what it looks for in them, in the plural (default: what its labels name)",
    )
    if examples:
        group.add_argument(
            "--example",
            dest="examples",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="a validation image that the web page offers to try, published with it; may be "
            "given several times (default: drawn pictures)",
        )
    group.add_argument(
        "--group-column",
        metavar="NAME",
        help="column of the table that says which images belong together, such as scene or "
        "device: never on both sides, drawn together for intervals (default: patient, if the "
        "table has it)",
    )


def owners_words(options: argparse.Namespace) -> OwnersWords:
    """What was given of the above, but for the column."""
    from pipeline.data.owners_words import OwnersWords

    return OwnersWords(
        intended_use=options.intended_use,
        images=options.images_are,
        looks_for=options.looks_for,
        examples=tuple(getattr(options, "examples", ())),
    )
