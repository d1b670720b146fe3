"""The command line of benchmarks. Heavy packages are imported by the command that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli import datasets, faults, peers, published, topologies, training
from benchmarks.cli.options import add_options
from pipeline.terminal.console import serve

DESCRIPTION = """\
Time every published artifact and PyTorch eager on this machine's CPU: one process each, with a
fixed thread count, in interleaved rounds, so that noise affects all of them alike. Compare ratios,
not milliseconds of different machines: each is the median over the rounds of the ratio within a
round, followed by the 10th and 90th percentile.
"""
COMMANDS = (peers, training, topologies, datasets, faults)  # in the order of the help


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0: all done or not run with a reason, 1: one failed, 2: bad input."""
    options = make_parser().parse_args(arguments)
    return serve(lambda: options.command(options), "nothing was written")


def make_parser() -> argparse.ArgumentParser:
    """The parser with every command; each sets ``command``, a function of the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(
        command=published.run,
        assets=Path(),
        checkpoint=None,
        threads=[1, 2],
        rounds=10,
        seconds=0.3,
        out=Path("build/benchmarks"),
    )
    add_options(parser, "results.json and latency.png")
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        command.add_command(commands)
    return parser
