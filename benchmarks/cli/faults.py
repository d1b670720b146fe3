"""``python -m benchmarks faults``: every known fault, planted and judged."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.errors import BadInput

DESCRIPTION = """\
Plant every known fault in real artifacts of a checkpoint, one at a time, check each as a release is
checked, and print which part of the check caught it. Controls change bytes and nothing else, and
must pass. Exit code 0: every fault caught, no control flagged. With --explain a file is made of the
network with each of its faults, and `explain` must name the place; exit code 0: it did everywhere,
and the check caught them all.
"""
NO_PLACE = "none of these faults is in the network itself"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `faults` to the command line."""
    parser = commands.add_parser(
        "faults",
        help="plant every known fault in real artifacts and report what catches it",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="where to plant them, compressed or not (default: the released one)",
    )
    parser.add_argument(
        "--side",
        type=int,
        default=96,
        metavar="N",
        help="of the images; weights and operations stay the same (default: 96 px)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=(),
        metavar="FAULT",
        help="only these faults, by their names in docs/faults.md",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="whether `explain` names the place of each fault of the network",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdicts there")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from tempfile import TemporaryDirectory

    import torch

    from benchmarks.faults import document
    from benchmarks.faults.bench import open_bench
    from benchmarks.faults.resized import resized
    from benchmarks.faults.table import chosen
    from pipeline.checkpoint import RELEASED
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    if options.side < 32:
        raise BadInput("--side needs at least 32")
    faults, controls = chosen(options.only)
    torch.set_num_threads(1)
    console = open_console()
    with TemporaryDirectory() as folder, console.status("starting") as status:
        source = options.checkpoint or RELEASED
        checkpoint = resized(source, options.side, Path(folder) / "checkpoint")
        bench = open_bench(checkpoint, Path(folder) / "bench")
        in_log = not console.is_terminal
        report = console.print if in_log else status.update
        if options.explain:
            cells = document.run_explained(bench, faults, report)
            written = document.explained_document(cells, bench.spec)
        else:
            verdicts = document.run_table(bench, faults, controls, report)
            written = verdicts.document(bench.spec)
    if options.json:
        write_json(options.json, written)
    if options.explain:
        document.print_explained(console, cells)
        planted = [cell for cell in cells if cell.planted]
        if not planted:
            raise BadInput(f"nothing was planted: {cells[0].excuse if cells else NO_PLACE}")
        return int(not all(cell.named and cell.caught_by for cell in planted))
    document.print_verdicts(console, verdicts)
    return int(bool(verdicts.missed or verdicts.alarms))
