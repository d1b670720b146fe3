"""``python -m benchmarks peers``: the published artifacts beside other runtimes."""

from __future__ import annotations

import argparse

from benchmarks.cli.options import add_options, check_timing, names

DESCRIPTION = """\
Time the same network with the same weights under other runtimes and in our artifacts, in one run:
OpenVINO, ncnn, LiteRT, ExecuTorch, PyTorch eager, and two recipes from tutorials. `make peers`
installs them, each in its own environment; a runtime that is not installed has a row without
figures. Every row's probabilities are compared with PyTorch's before it is timed.

A timed call takes the bitmap, uint8 (1, H, W, 3), and returns probabilities: normalisation and
softmax are inside. The tutorials' recipes take float32 NCHW pixels that were normalised outside the
timed call, which favours them.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `peers` to the command line."""
    parser = commands.add_parser(
        "peers",
        help="compare with other runtimes (`make peers` installs them)",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, "peers.json, peers.png and what was converted")
    parser.add_argument(
        "--only",
        type=names,
        default=(),
        metavar="NAMES",
        help="only these peers: openvino,ncnn (default: all); ours are always timed",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    check_timing(options)
    from benchmarks.peers.document import is_ours, print_peers_table, row_title
    from benchmarks.peers.run import PeersRequest, measure_peers
    from benchmarks.plot import plot_latency
    from benchmarks.results import results_json
    from pipeline.atomic_files import write_bytes
    from pipeline.checkpoint import RELEASED
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    request = PeersRequest(
        assets=options.assets,
        checkpoint=options.checkpoint or RELEASED,
        only=options.only,
        threads=options.threads,
        rounds=options.rounds,
        round_s=options.seconds,
        build=options.out / "peers",
    )
    console = open_console()
    with console.status("starting") as status:
        results = measure_peers(request, status.update)
    write_json(options.out / "peers.json", results_json(results))
    write_bytes(options.out / "peers.png", plot_latency(results, row_title, is_ours))
    print_peers_table(console, results)
    console.print(f"{options.out / 'peers.json'}, {options.out / 'peers.png'}")
    return int(any(row.status == "failed" for row in results.rows))
