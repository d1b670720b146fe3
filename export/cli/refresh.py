"""``python -m export refresh``: code, READMEs and golden pack of published folders again."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from export.cli.options import add_assets, add_checkpoint


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `refresh` to the command line."""
    parser = commands.add_parser(
        "refresh",
        help="published folders with the code and READMEs of this version",
        description="Write again what stands beside the models in published folders: code, "
        "READMEs, golden pack, and what the manifest says of the model. The models stay as they "
        "are, and so does all that was measured of them. `check` says where this is needed.",
    )
    add_assets(parser)
    add_checkpoint(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.run.beside import refresh
    from pipeline.checkpoint import RELEASED

    say = partial(print, file=sys.stderr, flush=True)
    for folder in refresh(options.assets, options.checkpoint or RELEASED, say):
        print(folder)
    return 0
