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
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
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
