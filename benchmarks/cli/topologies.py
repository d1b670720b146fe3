"""``python -m benchmarks topologies``: every topology through the whole of the product."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.cli.options import add_out, names

DESCRIPTION = """\
Compress and export one topology after the other: wall time, peak memory of all processes, verdict
and size of every artifact. Weights are drawn, and rounded to int8 and w4 without training, or those
of --checkpoints. A file passes or not whatever its precision costs the network. A row that is there
is kept unless code, tools or settings have changed, so a stopped run goes on where it was. Linux
only, because the memory is read from /proc.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `topologies` to the command line."""
    parser = commands.add_parser(
        "topologies",
        help="topologies in every format: what passes, time, memory, sizes",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        type=names,
        default=(),
        metavar="NAMES",
        help="only these topologies: resnet34,timm/resnet18d (default: all of "
        "benchmarks/topologies/names.py)",
    )
    parser.add_argument(
        "--side",
        type=int,
        default=128,
        metavar="N",
        help="of the images of networks with drawn weights, more where one needs it "
        "(default: 128 px)",
    )
    parser.add_argument(
        "--checkpoints",
        type=Path,
        nargs="+",
        default=(),
        metavar="DIR",
        help="export these trained networks, such as the trials of `pipeline compare`",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="PLACE",
        help="the images they were trained on (default: the embedded phantoms)",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=11,
        metavar="N",
        help="validation images at most, besides the golden and hard ones (default: 11)",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, metavar="N", help="converters at a time (default: 2)"
    )
    parser.add_argument(
        "--again", action="store_true", help="make rows once more that are there already"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep checkpoints and files, not reports and logs alone"
    )
    add_out(parser, "topologies.json and what was converted")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from pipeline.errors import require

    require("psutil", what="measuring processes")
    from benchmarks.topologies.row import read_topologies
    from benchmarks.topologies.run import measure_topologies
    from benchmarks.topologies.subjects import TopologiesRequest
    from benchmarks.topologies.summary import line, share
    from pipeline.json_files import plain, write_json
    from pipeline.terminal.console import open_console

    results = options.out / "topologies.json"
    request = TopologiesRequest(
        architectures=options.only,
        side=options.side,
        images=options.images,
        jobs=options.jobs,
        build=options.out / "topologies",
        checkpoints=tuple(options.checkpoints),
        data=options.data,
        again=options.again,
        keep=options.keep,
    )
    earlier = read_topologies(results).rows if results.exists() else ()
    console = open_console()
    with console.status("starting") as status:
        for found, row in measure_topologies(request, earlier, status.update):
            write_json(results, plain(found))
            console.print(line(row), markup=False, soft_wrap=True)
    every = read_topologies(results)
    console.print(share(every), markup=False, soft_wrap=True)
    console.print(results)
    return int(any(every.counts[word] for word in ("fail", "crash")))
