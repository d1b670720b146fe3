"""The command line of the benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import BadInput
from pipeline.terminal import serve

DESCRIPTION = """\
Time every published artifact and PyTorch eager on this machine's CPU: one process each, thread
count fixed, rounds in turn so that a noisy machine hurts all alike. Compare ratios, not
milliseconds of different machines.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0: all done or not run with a reason, 1: one failed, 2: bad input."""
    options = _parser().parse_args(arguments)
    return serve(lambda: _run(options), "nothing was written")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--assets",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where android_assets/ and ios_assets/ are (default: here)",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="for PyTorch eager (default: the released one)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="thread counts (default: 1 2)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=10,
        metavar="N",
        help="turns of each artifact, after one to warm up (default: 10)",
    )
    parser.add_argument(
        "--seconds", type=float, default=0.3, metavar="S", help="length of a turn (default: 0.3)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("build/benchmarks"),
        metavar="DIR",
        help="results.json and latency.png (default: build/benchmarks)",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    from benchmarks.measure import measure
    from benchmarks.plot import plot_latency
    from benchmarks.results import print_table, results_document
    from benchmarks.targets import published_targets
    from pipeline.checkpoint import RELEASED
    from pipeline.errors import require
    from pipeline.placement import write_bytes, write_text
    from pipeline.terminal import open_console

    require("matplotlib", what="the picture of the benchmark")
    if min(options.threads) < 1 or options.rounds < 1 or not options.seconds > 0:
        raise BadInput("--threads and --rounds need at least 1, --seconds more than 0")
    targets = published_targets(options.assets, options.checkpoint or RELEASED)
    console = open_console()
    with console.status("starting") as status:
        measurements = measure(
            targets, options.threads, options.rounds, options.seconds, status.update
        )
    document = results_document(measurements, options.rounds, options.seconds)
    write_text(options.out / "results.json", document.to_json())
    write_bytes(options.out / "latency.png", plot_latency(document))
    print_table(console, document)
    console.print(f"{options.out / 'results.json'}, {options.out / 'latency.png'}")
    return int(any(row["status"] == "failed" for row in document.rows))
