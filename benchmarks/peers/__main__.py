"""``python -m benchmarks.peers``: install and list the environments of the peers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.peers.environment import WAY_OUT, install, is_installed
from benchmarks.peers.register import PEERS
from benchmarks.peers.run import chosen_peers
from export.runtimes.cache import cache_folder
from pipeline.errors import MissingDependency
from pipeline.terminal.console import serve

DESCRIPTION = """\
The peers of `python -m benchmarks peers`: other runtimes, each in its own environment in the cache
folder. Installed ones stay; one that cannot be installed does not stop the rest.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 2 if something is missing."""
    options = make_parser().parse_args(arguments)
    return serve(lambda: options.command(options), "nothing half-installed is left")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    installing = commands.add_parser("install", help="fetch what is missing into the cache folder")
    installing.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"any of {', '.join(PEERS)} (default: all)"
    )
    installing.set_defaults(command=_install)
    listing = commands.add_parser("list", help="all peers, and which are installed")
    listing.set_defaults(command=_list)
    return parser


def _install(options: argparse.Namespace) -> int:
    failures = install(chosen_peers(options.what), lambda line: print(line, flush=True))
    if failures:
        raise MissingDependency(
            f"{len(failures)} of the peers cannot be installed, for the reasons above; the others "
            "can be timed"
        )
    return 0


def _list(options: argparse.Namespace) -> int:
    print(f"in {cache_folder()}")
    for name, peer in PEERS.items():
        state = "installed" if is_installed(peer) else WAY_OUT
        first = peer.PACKAGES[0] if peer.PACKAGES else "nothing more"
        print(f"{name:18} {first:22} {state}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
