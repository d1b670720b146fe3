"""``python -m export robustness``: what each preprocessing mistake costs."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.cli.options import IMAGES, add_assets, add_common, refuse_below_one
from export.formats.register import FORMATS


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `robustness` to the command line."""
    parser = commands.add_parser(
        "robustness",
        help="what each preprocessing mistake of apps costs: labels that flip, AUROC",
        description="Replay the validation images with the filters and mistakes of apps. "
        "Exit code 1 if plain bilinear flips more labels than its limit.",
    )
    add_common(parser)
    add_assets(parser)
    parser.add_argument(
        "--format",
        default=next(iter(FORMATS)),
        choices=tuple(FORMATS),
        help="format of the file (default: %(default)s)",
    )
    parser.add_argument("--precision", default="fp32", metavar="P", help="(default: fp32)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.report.robustness import robustness_json
    from export.run.robustness import (
        NO_DATA,
        print_robustness,
        published_robustness,
        robustness_entry,
    )
    from pipeline.checkpoint import RELEASED
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    refuse_below_one(options, "images")
    found, reason = None, NO_DATA
    if options.data is not None:
        found, reason = published_robustness(
            options.assets,
            options.checkpoint or RELEASED,
            (options.format, options.precision),
            options.data,
            options.images or IMAGES,
        )
    print_robustness(open_console(), found, reason)
    if options.out:
        write_json(options.out, robustness_json(robustness_entry(found, reason)))
    if found is None:
        return int(options.strict)
    return int(bool(found.broken))
