"""``python -m export archive``: the asset folders as zip files to publish."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.cli.options import add_assets


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `archive` to the command line."""
    parser = commands.add_parser(
        "archive",
        help="the asset folders as zip files to publish, with SHA256SUMS",
        description="Write NAME-VERSION-PLATFORM.zip for each asset folder, the same bytes every "
        "time, and SHA256SUMS. A folder must match its manifest; an archive that exists with other "
        "content is never replaced.",
    )
    add_assets(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("dist"), metavar="DIR", help="(default: dist)"
    )
    parser.add_argument("--tag", metavar="TAG", help="such as v2.0.0: must be their version")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.publish.release_archives import archive_assets

    for path in archive_assets(options.assets, options.out, options.tag):
        print(f"{path}: {path.stat().st_size:,} bytes")
    return 0
