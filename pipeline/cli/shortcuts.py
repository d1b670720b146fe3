"""``python -m pipeline shortcuts``: what a checkpoint could score by besides what it looks for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

EPILOG: Final = """\
If the table has a column source: the model's AUROC within each source, and how well a linear probe
predicts the source from the model's features, among all images and within each label. For all data:
where in the images the evidence lies, and how much of it at the edge.

The result is a folder: shortcuts.md (read this), shortcuts.json, evidence.png. The picture shows
images of the data: keep it out of repositories. `train` writes the same into its checkpoint's
folder.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `shortcuts` to the command line."""
    parser = commands.add_parser(
        "shortcuts",
        help="what a checkpoint could score by besides what it looks for: the source, the edge",
        description="Look for shortcuts: does the model know the source, and where does it look?",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, nargs="?", help="its folder (default: released)")
    parser.add_argument(
        "--data",
        type=Path,
        help="the images it was trained on, folder or .csv (default: synthetic phantoms)",
    )
    parser.add_argument("--out", type=Path, help="folder (default: build/shortcuts/NAME)")
    for option, default, meaning in (
        ("seed", 2, "of which images are shown"),
        ("threads", 0, "CPU threads of torch, 0 for all cores"),
    ):
        parser.add_argument(
            f"--{option}", type=int, default=default, metavar="N", help=f"{meaning} ({default})"
        )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(command=run, on_interrupt="nothing was changed")


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from pipeline.checkpoint import RELEASED
    from pipeline.shortcuts.analysis import PAGE_FILE, report_shortcuts

    folder = report_shortcuts(
        options.checkpoint or RELEASED,
        options.data,
        options.out,
        seed=options.seed,
        threads=options.threads,
        overwrite=options.overwrite,
    )
    print((folder / PAGE_FILE).read_text(encoding="utf-8"))
    print(f"written to {folder}")
    return 0
