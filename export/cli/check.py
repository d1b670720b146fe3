"""``python -m export check``: the parity check of CI on what is published."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Final

from export.cli.options import IMAGES, add_assets, add_common, refuse_below_one

EMULATED_IMAGES: Final = 10  # each takes about two seconds per file


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the command line."""
    parser = commands.add_parser(
        "check",
        help="verify what is published: hashes, sizes, parity",
        description="The parity check of CI: nothing is converted, nothing is written.",
    )
    add_common(parser)
    add_assets(parser)
    foreign = parser.add_mutually_exclusive_group()
    foreign.add_argument(
        "--arch",
        choices=("arm64",),
        help="run the Android files with the Arm builds of their runtimes (install them once: "
        "make arm64); on a machine that is not Arm they are emulated, on the 10 most telling "
        "images unless --images gives another number",
    )
    foreign.add_argument(
        "--oldest",
        action="store_true",
        help="run them with the oldest runtime that the manifest promises (install it once: "
        "make oldest)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write it as JUnit XML")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.report.document import exit_code, print_verdict, report_of
    from export.report.junit import to_junit
    from export.report.report import write_report
    from export.run.check_published import check_published
    from pipeline.atomic_files import write_text
    from pipeline.checkpoint import RELEASED
    from pipeline.terminal.console import open_console

    refuse_below_one(options, "images")
    rows, images = check_published(
        options.assets,
        options.checkpoint or RELEASED,
        options.data,
        options.images or (EMULATED_IMAGES if options.arch else IMAGES),
        "oldest" if options.oldest else options.arch,
        say=partial(print, file=sys.stderr, flush=True),
    )
    report = report_of("check", rows, images)
    if options.json:
        write_report(options.json, report)
    if options.junit:
        write_text(options.junit, to_junit(report))
    print_verdict(open_console(), rows, images)
    return exit_code(rows, options.strict)
