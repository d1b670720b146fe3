"""Options that several commands of `python -m export` have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

BUILD: Final = Path("build/export")
IMAGES: Final = 1000  # largest number of validation images


def add_assets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--assets",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where android_assets/ and the others are (default: here)",
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="folder of the checkpoint (default: the released one)",
    )


def add_common(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PLACE",
        help="folder or .csv of images; parity is proven on its validation split "
        "(default: embedded synthetic samples)",
    )
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="use at most N validation images (default: 1000)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit 1 also if something could not be run here"
    )


def size(given: str) -> int:
    from export.consumer.budget import parse_bytes

    try:
        return parse_bytes(given)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def refuse_below_one(options: argparse.Namespace, *names: str) -> None:
    from pipeline.errors import BadInput

    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise BadInput(f"--{name} {value}: need at least 1")
