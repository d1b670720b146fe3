"""The command line of export. Heavy packages are imported by the command that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from export import verify
from export.cli import all as export_all
from export.cli import (
    archive,
    check,
    doctor,
    explain,
    golden,
    predict,
    refresh,
    report,
    robustness,
    web,
)
from export.cli.consumer import budget, diff
from export.formats.register import FORMATS
from pipeline.terminal.console import serve

DESCRIPTION = """\
Turn a trained checkpoint into mobile models ({formats}), prove
that each gives the same outputs as PyTorch, and publish android_assets/, ios_assets/ and
web_assets/.
Research use only, unless the owner of a model says what it is for (--intended-use).
"""
EPILOG = """\
examples:
  python -m export all                               the released checkpoint, everything
  python -m export all --data photos/                parity on your own validation images
  python -m export all --train --data photos/        train first (as python -m pipeline train)
  python -m export check --junit parity.xml          what CI runs: are the published files right?
  python -m export predict web_assets image.png      what the published files say about an image
  python -m export verify android_assets             is a pulled folder whole? (no torch needed)
  python -m export diff old/ android_assets          what a release changes, for a pull request
  python -m export budget android_assets --only w4   what it adds to an app, against 500 KB
  python -m export golden android_assets             are preprocessing and model right here?
  python -m export web --serve                       web_assets/ as a page, on this machine
  python -m export robustness --data photos/         what each preprocessing mistake costs
  python -m export explain coreml --precision fp16   the layer at which a file leaves PyTorch
  python -m export refresh                           code and READMEs of this version
  python -m export report                            one HTML page of the last export, no network
  python -m export doctor                            what works here, and how to fix the rest

exit codes: 0 nothing failed (what was not run is listed), 1 a conversion or check failed or a
change breaks apps, 2 the request cannot be served: bad input or a missing package (the message
says which)
"""
# In the order of the help; `verify` defines its own, since it is a standalone file.
COMMANDS = (
    export_all, check, predict, verify, diff, budget, golden, web, explain, robustness, refresh,
    archive, report, doctor,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = make_parser().parse_args(arguments)
    return serve(lambda: options.command(options), "the published assets are unchanged")


def make_parser() -> argparse.ArgumentParser:
    """The parser with every command; each sets ``command``, a function of the options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=DESCRIPTION.format(formats=", ".join(f.title for f in FORMATS.values())),
        epilog=EPILOG,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_command(commands)
    return parser
