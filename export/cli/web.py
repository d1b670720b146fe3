"""``python -m export web``: the asset folder for the web, with its runtime, as a site."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `web` to the command line."""
    parser = commands.add_parser(
        "web",
        help="web_assets/ together with its runtime: a page to host or to serve here",
        description="Copy an asset folder for the web, add the runtime (by npm, in the version "
        "that its package-lock.json pins), and write the hashes that the offline copy of the page "
        "is checked with. Prints what a first visit downloads. The result is a folder for any "
        "static host.",
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path("web_assets"),
        metavar="DIR",
        help="an asset folder for the web (default: web_assets)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/web"), metavar="DIR", help="(default: build/web)"
    )
    parser.add_argument("--serve", action="store_true", help="then serve it on 127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="(default: 8000)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the sizes here too, as in download.json"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.publish.web_site import build_site, print_download, serve_site
    from pipeline.errors import BadInput
    from pipeline.json_files import plain, write_json

    if not 0 <= options.port <= 65535:
        raise BadInput(f"--port {options.port}: need 0 to 65535; 0 takes a free one")
    download = build_site(options.folder, options.out)
    print_download(download, options.out)
    if options.json:
        write_json(options.json, plain(download))
    if options.serve:
        serve_site(options.out, options.port)
    return 0
