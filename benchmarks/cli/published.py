"""``python -m benchmarks``: the published artifacts and PyTorch eager."""

from __future__ import annotations

import argparse

from benchmarks.cli.options import check_timing


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    check_timing(options)
    from benchmarks.plot import plot_latency
    from benchmarks.results import print_table, results_json, results_of
    from benchmarks.targets import published_targets
    from export.latency.measure import measure
    from pipeline.atomic_files import write_bytes
    from pipeline.checkpoint import RELEASED
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    targets = published_targets(options.assets, options.checkpoint or RELEASED)
    console = open_console()
    with console.status("starting") as status:
        measurements = measure(
            targets, options.threads, options.rounds, options.seconds, status.update
        )
    results = results_of(measurements, options.rounds, options.seconds)
    write_json(options.out / "results.json", results_json(results))
    write_bytes(options.out / "latency.png", plot_latency(results))
    print_table(console, results)
    console.print(f"{options.out / 'results.json'}, {options.out / 'latency.png'}")
    return int(any(row.status == "failed" for row in results.rows))
