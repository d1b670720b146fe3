"""``python -m benchmarks training``: time to a validation AUROC."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.cli.options import add_out
from pipeline.errors import BadInput

DESCRIPTION = """\
Train SqueezeNet 1.1 with this project's default recipe and with plain fastai, as in its tutorials
(`vision_learner(...).fine_tune(...)`), on the same images from the same weights, until the
validation AUROC reaches a target. The two take turns, one process each; ratios are taken within a
seed. The validation images decide when to stop, so the times say nothing about quality.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `training` to the command line."""
    parser = commands.add_parser(
        "training",
        help="time to a validation AUROC, compared with plain fastai",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder or .csv table of images, two labels"
    )
    parser.add_argument(
        "--target", type=float, default=0.9, metavar="A", help="AUROC to reach (default: 0.9)"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[2, 3, 4], metavar="N", help="(default: 2 3 4)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (default: 1)")
    add_out(parser, "training.json")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from benchmarks.training.run import measure_training, print_training_table
    from pipeline.errors import require
    from pipeline.json_files import plain, write_json
    from pipeline.terminal.console import open_console

    require("fastai", "sklearn", what="timing a training")
    if options.threads < 1 or len(set(options.seeds)) < len(options.seeds):
        raise BadInput("--threads needs at least 1, --seeds each number once")
    console = open_console()
    with console.status("starting") as status:
        times = measure_training(
            options.data, options.seeds, options.threads, options.target, status.update
        )
    write_json(options.out / "training.json", plain(times))
    print_training_table(console, times)
    console.print(str(options.out / "training.json"))
    return int(any(row.status == "failed" for row in times.rows))
