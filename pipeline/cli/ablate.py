"""``python -m pipeline ablate``: what each part of the released recipe brings."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `ablate` to the command line."""
    parser = commands.add_parser(
        "ablate",
        help="what each part of the released recipe brings, on your images",
        description="Train the released recipe, and the same with one thing changed at a time. "
        "What is already trained is not trained again.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder or .csv table of images")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[2, 3, 4],
        metavar="N",
        help="of the unchanged recipe (default: 2 3 4)",
    )
    parser.add_argument(
        "--variant-seeds",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="of the changed recipes (default: the first of --seeds)",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="VARIANT", help="some (default: all)"
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of torch, 0: all cores"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/ablation"), help="(default: build/ablation)"
    )
    parser.set_defaults(
        command=run, on_interrupt="finished trainings are kept; the same command continues"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from pipeline.study.ablation import RESULTS_FILE, ablate

    results = ablate(
        options.data,
        options.seeds,
        options.out,
        options.only,
        variant_seeds=options.variant_seeds,
        threads=options.threads,
    )
    for row in results.rows:
        auroc, error = row.figures["auroc"], row.figures["calibration_error"]
        print(
            f"{row.variant:36} AUROC {auroc.mean:.3f} "
            f"({', '.join(f'{value:.3f}' for value in auroc.values)}), "
            f"calibration error {error.mean:.3f}"
        )
    print(f"written to {options.out / RESULTS_FILE}")
    return 0
