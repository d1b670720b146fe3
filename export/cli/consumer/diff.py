"""``python -m export diff``: what a release changes. Needs only the standard library."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.consumer import diff


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `diff` to the command line."""
    parser = commands.add_parser(
        "diff",
        help="what changes from one asset folder to another, and what breaks apps",
        description=diff.DESCRIPTION,
        epilog=diff.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="asset folder or manifest.json")
    parser.add_argument("new", type=Path, metavar="NEW", help="asset folder or manifest.json")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, not Markdown")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.consumer.diff_report import to_json, to_markdown

    old, new = diff.read(options.old), diff.read(options.new)
    changes = diff.compare(old, new)
    print((to_json if options.json else to_markdown)(old, new, changes), end="")
    return int(any(change.breaking for change in changes))
