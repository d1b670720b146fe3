"""``python -m benchmarks datasets``: the default commands on data sets that differ."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.cli.options import add_out, names

DESCRIPTION = """\
Train, compress and export on data sets that differ: grey and colour, 2 to 120 labels, 100 to 5,000
images, balanced and not; drawn, or part of scikit-learn. Each row says what passed of every
precision. Commands have their defaults, but for the side of the images and the network. --data
takes images of your own. --code runs another state of this project, such as one of `git worktree
add`: so a change is compared with what was before.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `datasets` to the command line."""
    parser = commands.add_parser(
        "datasets",
        help="what the default commands make of data sets that differ",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        type=names,
        default=(),
        metavar="NAMES",
        help="only these data sets: colours5,digits (default: all); others keep their rows",
    )
    parser.add_argument(
        "--side", type=int, default=64, metavar="N", help="of the images (default: 64 px)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="PLACE", help="a folder or table of your own instead"
    )
    parser.add_argument(
        "--architecture", default="", metavar="A", help="of the network (default: that of train)"
    )
    parser.add_argument(
        "--latency", action="store_true", help="measure it too; nothing else should run then"
    )
    parser.add_argument(
        "--code",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="run the commands of this folder (default: here)",
    )
    add_out(parser, "datasets.json and what was made")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from benchmarks.datasets.row import read_datasets
    from benchmarks.datasets.run import DataSetsRequest, run_datasets
    from benchmarks.datasets.summary import line
    from pipeline.errors import require
    from pipeline.json_files import plain, write_json
    from pipeline.terminal.console import open_console

    require("fastai", "sklearn", what="training")
    results = options.out / "datasets.json"
    request = DataSetsRequest(
        names=options.only,
        side=options.side,
        code=options.code,
        build=options.out / "datasets",
        architecture=options.architecture,
        data=options.data,
        latency=options.latency,
    )
    part = options.only or options.data or options.architecture
    earlier = read_datasets(results) if part and results.exists() else None
    console = open_console()
    stopped = False
    with console.status("starting") as status:
        for found, row in run_datasets(request, earlier, status.update):
            stopped |= bool(row.stopped)
            write_json(results, plain(found))
            console.print(line(row), markup=False, soft_wrap=True)
    console.print(results)
    return int(stopped)
