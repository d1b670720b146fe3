"""``python -m pipeline show``: what a checkpoint declares."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `show` to the command line."""
    parser = commands.add_parser("show", help="what a checkpoint declares")
    parser.add_argument(
        "checkpoint", type=Path, nargs="?", help="its folder (default: the released one)"
    )
    parser.set_defaults(command=run, on_interrupt="nothing was changed")


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from pipeline.checkpoint import RELEASED

    print_spec(options.checkpoint or RELEASED)
    return 0


def print_spec(folder: Path) -> None:
    """Model, figures, origin and identity of a checkpoint, on the terminal."""
    from pipeline.checkpoint import open_checkpoint
    from pipeline.model_spec import named

    checkpoint = open_checkpoint(folder)
    spec = checkpoint.spec
    print(f"{spec.name} {spec.version}: {spec.architecture}, {spec.resize.pixels} px RGB")
    print(f"image: {spec.resize.sentence()}")
    decided = "none" if spec.positive is None else f"{spec.positive} from {spec.threshold} on"
    print(f"labels: {named(spec.labels)}; positive: {decided}")
    for name, figure in spec.metrics.items():
        if isinstance(figure, dict):
            value, low, high = figure["value"], figure["low"], figure["high"]
            print(f"  {name:20} {value:.3f}  (95 % interval {low:.3f} to {high:.3f})")
        else:
            print(f"  {name:20} {figure:.3f}")
    for sentence in spec.calibration.sentences() if spec.calibration else []:
        print(sentence)
    if spec.compression is not None:
        print(f"compressed to {spec.compression.precision} from {spec.compression.parent_sha256}")
    if "split" in spec.data:
        print(f"images: {spec.data.get('name', 'not named')}, split {spec.data['split']}")
    print(f"initial weights: {spec.training.get('initial_weights', 'not stated')}")
    print(f"SHA-256: {checkpoint.sha256}")
    print(f"{spec.owner.images}; it looks for {spec.owner.looks_for}")
    print(spec.intended_use)
