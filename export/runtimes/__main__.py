"""``python -m export.runtimes``: install and list the foreign environments."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from export.runtimes import swift
from export.runtimes.cache import cache_folder
from export.runtimes.environments import ENVIRONMENTS, Environment
from export.runtimes.install import install, is_installed
from pipeline.terminal.console import serve

TARGETS = tuple(dict.fromkeys(environment.target for environment in ENVIRONMENTS.values()))
CHOICES = (*TARGETS, swift.SWIFT, *ENVIRONMENTS)
DESCRIPTION = """\
Runtimes other than the installed ones, to run published files under: the Arm builds (emulated on
other machines), the oldest onnxruntime that the manifest promises, and a Swift compiler for the
tests of the iOS package.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 2 if something is missing."""
    options = make_parser().parse_args(arguments)
    return serve(lambda: options.command(options), "nothing half-installed is left")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export.runtimes", description=DESCRIPTION)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    installing = commands.add_parser("install", help="fetch what is missing into the cache folder")
    installing.add_argument(
        "what",
        nargs="+",
        choices=CHOICES,
        metavar="WHAT",
        help=f"some of {', '.join(CHOICES)}",
    )
    installing.set_defaults(command=_install)
    listing = commands.add_parser("list", help="the environments, and which are installed")
    listing.set_defaults(command=_list)
    return parser


def _install(options: argparse.Namespace) -> int:
    def say(line: str) -> None:
        print(line, flush=True)

    install(_chosen(options.what), say)
    if swift.SWIFT in options.what:
        swift.install(say)
    return 0


def _chosen(what: Sequence[str]) -> list[Environment]:
    return [e for e in ENVIRONMENTS.values() if e.name in what or e.target in what]


def _list(options: argparse.Namespace) -> int:
    print(f"in {cache_folder()}")
    for environment in ENVIRONMENTS.values():
        state = "installed" if is_installed(environment) else f"make {environment.target}"
        formats = ", ".join(environment.formats)
        print(f"{environment.name:18} {environment.packages[0]:20} {formats:12} {state}")
    state = "installed" if swift.is_installed() else "make swift"
    print(f"{swift.SWIFT:18} {swift.PACKAGES[0]:20} {'':12} {state}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
