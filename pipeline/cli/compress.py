"""``python -m pipeline compress``: checkpoint in, compressed checkpoints out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

EPILOG: Final = """\
int8: weights and activations in 8 bits, calibrated on training images; about half a minute.
w4, w3: weights in 4 bits, or 3 on average, arithmetic as before.
All are rounded layer by layer. Then w4 and w3 are fine-tuned with the model itself as teacher, and
int8 too where rounding alone loses too much; labels are not used. The better of the rounded and the
fine-tuned model on the validation images is kept. Takes several times as long as training.

Each becomes a folder inside the checkpoint's (CHECKPOINT/int8, ...), where `python -m export all`
finds it. Its comparison with the checkpoint on the validation images is printed and kept; a model
that loses too much is not published.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `compress` to the command line."""
    parser = commands.add_parser(
        "compress",
        help="checkpoint in, compressed checkpoints (int8, w4, w3) out",
        description="Put a checkpoint's weights on grids that every mobile format can hold.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="its folder")
    parser.add_argument(
        "--data",
        type=Path,
        help="the images it was trained on, folder or .csv (default: synthetic phantoms)",
    )
    parser.add_argument(
        "--precisions",
        default="int8,w4,w3",
        metavar="A,B",
        help="some of int8, w4, w3 (default: all)",
    )
    for option, kind, meaning in (
        (
            "epochs",
            int,
            "epochs of fine-tuning; 0: rounding alone (default: as many as make so many steps: "
            "w4 600, w3 1200, int8 600 if needed)",
        ),
        ("lr", float, "its peak learning rate, less where the loss rises (default: 0.0005)"),
        ("batch-size", int, "images per step (default: 16)"),
        ("seed", int, "of everything random (default: 2)"),
        ("threads", int, "CPU threads of torch, 0 for all cores (default: 0)"),
        ("calibration-images", int, "training images that ranges are fitted on (default: 128)"),
    ):
        parser.add_argument(f"--{option}", type=kind, metavar="N", help=meaning)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace earlier compressed checkpoints"
    )
    parser.set_defaults(
        command=run, on_interrupt="what was reported is kept, nothing else was changed"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from pipeline.cli.next_commands import export_command
    from pipeline.compress.compress import compress

    precisions = [name.strip() for name in options.precisions.split(",") if name.strip()]
    fields_ = ("epochs", "lr", "batch_size", "seed", "threads", "calibration_images")
    changes = {name: getattr(options, name) for name in fields_}
    compress(
        options.checkpoint,
        options.data,
        precisions,
        changes={name: value for name, value in changes.items() if value is not None},
        overwrite=options.overwrite,
    )
    print(f"\nnext: {export_command(options.checkpoint, options.data)}")
    return 0
