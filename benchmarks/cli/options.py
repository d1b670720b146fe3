"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.errors import BadInput


def add_options(parser: argparse.ArgumentParser, written: str) -> None:
    """Add options without defaults, so that neither of two commands overwrites what was given to
    the other: `python -m benchmarks --rounds 3 peers` runs 3 rounds.
    """
    parser.add_argument(
        "--assets",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="where android_assets/ and the others are (default: here)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="for PyTorch eager and peers (default: the released one)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=argparse.SUPPRESS,
        metavar="N",
        help="thread counts (default: 1 2)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=argparse.SUPPRESS,
        metavar="N",
        help="timed rounds of each row, after one to warm up (default: 10)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=argparse.SUPPRESS,
        metavar="S",
        help="length of a round (default: 0.3)",
    )
    add_out(parser, written)


def add_out(parser: argparse.ArgumentParser, written: str) -> None:
    """Add `--out`, for what is `written`; likewise without a default."""
    parser.add_argument(
        "--out",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help=f"for {written} (default: build/benchmarks)",
    )


def names(text: str) -> tuple[str, ...]:
    """What commas separate."""
    return tuple(name for name in text.split(",") if name)


def check_timing(options: argparse.Namespace) -> None:
    """Raises BadInput: nothing to time; MissingDependency: no matplotlib."""
    from pipeline.errors import require

    require("matplotlib", what="the picture of the benchmark")
    if min(options.threads) < 1 or options.rounds < 1 or not options.seconds > 0:
        raise BadInput("--threads and --rounds need at least 1, --seconds more than 0")
    if len(set(options.threads)) < len(options.threads):
        raise BadInput("--threads names a count twice")
