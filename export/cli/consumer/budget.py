"""``python -m export budget``: what files add to an app. Needs only the standard library."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.cli.options import size
from export.consumer import budget


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `budget` to the command line."""
    parser = commands.add_parser(
        "budget",
        help="what the files add to an app's download, compared with a limit",
        description=budget.DESCRIPTION,
        epilog=budget.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="an asset folder")
    parser.add_argument(
        "--limit",
        type=size,
        default=budget.MODEL_LIMIT_BYTES,
        metavar="SIZE",
        help="limit of each file or package (default: 500KB, which the paper promises)",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="what the app ships: a format, precision, both ('onnx w4') or path (repeat it)",
    )
    parser.add_argument(
        "--total", type=size, metavar="SIZE", help="limit of everything that --only names, zipped"
    )
    parser.add_argument(
        "--runtime-bytes",
        type=size,
        metavar="SIZE",
        help="size of the runtime in the download, from your own APK or IPA; part of --total",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    found = budget.weigh(
        options.folder, options.limit, options.only, options.total, options.runtime_bytes
    )
    print(budget.to_markdown(found, options.only), end="")
    return int(bool(found.faults))
