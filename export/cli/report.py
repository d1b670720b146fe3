"""``python -m export report``: one HTML page of what an export found."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `report` to the command line."""
    parser = commands.add_parser(
        "report",
        help="one HTML file of what a report says: verdicts, charts, code to integrate",
        description="Write one self-contained HTML page from the JSON of an export: nothing is "
        "converted or measured, and the page makes no request. It lists what is missing, with the "
        "reason.",
    )
    places = {
        "report": "report.json of an export (default: build/export/report.json if it exists, "
        "else docs/results/export.json, the release's)",
        "benchmark": "results of the benchmark (default: build/benchmarks/results.json, else "
        "docs/results/benchmark.json)",
        "peers": "results of the benchmark with other runtimes (default: "
        "build/benchmarks/peers.json, else docs/results/peers.json)",
        "faults": "planted faults (default: docs/results/faults.json)",
        "out": "the page (default: build/export/report.html)",
    }
    for name, said in places.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=said)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.report.page.write import write_page

    given = {name: getattr(options, name) for name in ("benchmark", "peers", "faults")}
    print(write_page(options.report, options.out, given))
    return 0
