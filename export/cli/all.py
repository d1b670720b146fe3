"""``python -m export all``: convert, prove, measure, publish."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from export.cli.options import (
    BUILD,
    IMAGES,
    add_common,
    refuse_below_one,
    size,
)
from export.formats.register import FORMATS, all_precisions
from pipeline.cli.owner_options import add_owner_options, owners_words


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `all` to the command line."""
    parser = commands.add_parser(
        "all",
        help="convert, prove, measure, publish",
        description="Convert a checkpoint to every format, prove each file, publish what passes.",
    )
    add_common(parser)
    parser.add_argument(
        "--train",
        action="store_true",
        help="train and compress a new checkpoint first, on --data or on phantoms",
    )
    parser.add_argument(
        "--preset",
        default="paper",
        choices=("paper", "quick"),
        help="recipe of --train (default: paper)",
    )
    parser.add_argument(
        "--formats",
        default=",".join(FORMATS),
        metavar="A,B",
        help=f"some of {', '.join(FORMATS)} (default: all)",
    )
    parser.add_argument(
        "--precisions",
        default=",".join(all_precisions()),
        metavar="A,B",
        help=f"some of {', '.join(all_precisions())} (default: all; the compressed ones "
        "need `python -m pipeline compress`)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="where android_assets/ and the others go (default: assets/ below --build; to "
        "publish a release: --out .)",
    )
    parser.add_argument(
        "--build",
        type=Path,
        default=BUILD,
        metavar="DIR",
        help="artifacts, logs, report.json and report.html (default: build/export)",
    )
    parser.add_argument(
        "--accept",
        default="",
        metavar="REJECTED",
        help="publish what the quality gate rejects, and say so in manifest, README and report: "
        "precisions such as int8,w4, or `rejected` for all; never a file that is wrong",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=2,
        metavar="N",
        help="converters that run at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--no-latency", action="store_true", help="do not time the artifacts for the manifest"
    )
    parser.add_argument(
        "--budget",
        type=size,
        metavar="SIZE",
        help="exit 1 if a format has no published file within this size, such as 500KB",
    )
    add_owner_options(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.run.export_all import accepted_precisions, export_all, plan
    from export.run.export_request import ExportRequest
    from pipeline.checkpoint import RELEASED
    from pipeline.data.owners_words import OwnersWords
    from pipeline.errors import BadInput
    from pipeline.terminal.console import open_console

    formats = _names(options.formats, "--formats", tuple(FORMATS))
    precisions = _names(options.precisions, "--precisions", all_precisions())
    every = set(precisions) == set(all_precisions())
    chosen = () if every else precisions  # all: whatever each format has
    plan(formats, chosen)  # refuse before training
    accept = accepted_precisions(_split(options.accept))
    refuse_below_one(options, "images", "jobs")
    if options.train and options.checkpoint:
        raise BadInput("--train makes a checkpoint and --checkpoint names one; give only one")
    if not options.train and (owners_words(options) != OwnersWords() or options.group_column):
        raise BadInput(
            "the owner's words become part of a checkpoint: give them with --train, or to "
            "`python -m pipeline train`"
        )
    checkpoint = _train(options) if options.train else options.checkpoint or RELEASED
    request = ExportRequest(
        checkpoint=checkpoint,
        data=options.data,
        formats=formats,
        precisions=chosen,
        root=options.out or options.build / "assets",
        build=options.build,
        image_limit=options.images or IMAGES,
        jobs=options.jobs,
        latency=not options.no_latency,
        strict=options.strict,
        budget_bytes=options.budget,
        accept=accept,
    )
    return export_all(request, open_console())


def _names(given: str, option: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names in a comma-separated list; `plan` checks that they exist."""
    from pipeline.errors import BadInput

    names = _split(given)
    if not names:
        raise BadInput(f"{option} names none; there are: {', '.join(known)}")
    return names


def _split(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())


def _train(options: argparse.Namespace) -> Path:
    """Train, then compress to the precisions requested; `quick` rounds without fine-tuning."""
    from pipeline.compress.compress import compress
    from pipeline.compress.recipes import PRECISIONS
    from pipeline.config import PRESETS, TrainConfig
    from pipeline.training.train import train

    checkpoint = train(
        TrainConfig(**PRESETS[options.preset]),
        options.data,
        overwrite=True,
        words=owners_words(options),
        group_column=options.group_column,
    )
    precisions = [p for p in PRECISIONS if p in _split(options.precisions)]
    if precisions:
        changes = {"epochs": 0} if options.preset == "quick" else {}
        compress(checkpoint, options.data, precisions, changes=changes)
    return checkpoint
