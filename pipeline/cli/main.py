"""The command line of the pipeline. Heavy packages are imported by the command that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.cli import (
    ablate,
    adopt,
    architectures,
    compare,
    compress,
    predict,
    shortcuts,
    show,
    train,
)
from pipeline.terminal.console import serve

DESCRIPTION = """\
Train an image classifier and write a checkpoint that `python -m export` turns into mobile models.
Research use only, unless the owner of a model says what it is for (--intended-use).
"""
EPILOG = """\
examples:
  python -m pipeline train                                synthetic phantoms, no data needed
  python -m pipeline train --data photos/                 train/<label>/ and valid/<label>/
  python -m pipeline train --data photos/metadata.csv     columns file,label[,split,source,patient]
  python -m pipeline compress build/checkpoints/squeezenet1_1_photos --data photos/
  python -m pipeline adopt export.pkl --trust-pickle      a fastai learner that you already have
  python -m pipeline predict build/checkpoints/squeezenet1_1_photos image.png --heat-map maps/
  python -m pipeline shortcuts build/checkpoints/squeezenet1_1_photos --data photos/metadata.csv
  python -m pipeline compare --data photos/                five topologies, two protocols
  python -m pipeline show build/checkpoints/squeezenet1_1_photos

exit codes: 0 done, 1 a trial of a comparison failed, or an adopted network does not give the same
outputs as the learner's own, 2 the request cannot be served (the message says why)
"""
COMMANDS = (
    train,
    compress,
    adopt,
    predict,
    shortcuts,
    compare,
    ablate,
    architectures,
    show,
)  # in the order of the help


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = make_parser().parse_args(arguments)
    return serve(lambda: options.command(options), options.on_interrupt)


def make_parser() -> argparse.ArgumentParser:
    """The parser with every command; each sets ``command``, a function of the options."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_command(commands)
    return parser
