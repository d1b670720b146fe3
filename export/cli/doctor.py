"""``python -m export doctor``: what works here, and how to fix the rest."""

from __future__ import annotations

import argparse


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the command line."""
    parser = commands.add_parser("doctor", help="which formats work here, and how to fix the rest")
    parser.add_argument(
        "--try",
        dest="try_it",
        action="store_true",
        help="convert and run a small network in every format (half a minute)",
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="can networks of it be served? converts one of random weights to every format and "
        "checks it, before anybody trains (a minute)",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    if options.architecture is not None:
        return _try_architecture(options.architecture)
    from rich.table import Table

    from export.run.doctor import examine, out_of_range
    from pipeline.terminal.console import open_console

    findings = examine(options.try_it)
    table = Table(title="Formats here")
    for column in ("format", "convert", "run"):
        table.add_column(column)
    for finding in findings:
        table.add_row(finding.format, finding.convert, finding.run)
    console = open_console()
    console.print(table)
    for finding in findings:  # below the table, where a command is not wrapped
        if finding.fix:
            print(f"{finding.format}: {finding.fix}")
    ranges = out_of_range()
    for sentence in ranges:
        console.print(sentence, markup=False)
    return 2 if ranges or any(finding.fix for finding in findings) else 0


def _try_architecture(architecture: str) -> int:
    """Print what comes of it, format by format; 1 if one cannot serve it."""
    from export.run.architecture_trial import try_architecture
    from pipeline.architecture_names import canonical
    from pipeline.compress.compressible import refusal
    from pipeline.models.bodies import has_places

    name = canonical(architecture)
    print(f"{name}: {'a' if has_places(name) else 'no'} map of evidence", flush=True)
    refused = refusal(name)
    print(f"compress: {f'no: {refused}' if refused else 'yes'}", flush=True)
    failed = False
    for trial in try_architecture(name):
        words = {"pass": "yes", "fail": "NO", "not_run": "not run"}[trial.status]
        reason = f": {trial.reason}" if trial.reason else ""
        print(f"{trial.format} {trial.precision}: {words}{reason}", flush=True)
        failed = failed or trial.status == "fail"
    return int(failed)
