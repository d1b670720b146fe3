"""``python -m pipeline train``: images in, checkpoint out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from pipeline.architecture_names import ARCHITECTURES
from pipeline.cli.owner_options import add_owner_options, owners_words
from pipeline.cli.recipe import add_recipe_options, recipe
from pipeline.config import TrainConfig

EPILOG: Final = """\
data: a folder with train/<label>/ and valid/<label>/, a folder with <label>/ alone (a quarter
becomes valid, by seed), or a CSV table with the columns file, label and optionally split
(train or valid), source, and patient or another group (never on both sides: --group-column).
Files are relative to the table.
Training, val, validation and test are understood too, in any case. Hidden folders are left out,
and what else is not read is said. Of 16-bit grey 65535 is white; images of 32-bit or
floating-point numbers are refused, since nothing says what is white in them.

The result is a folder: checkpoint.json, model.safetensors, curves.png, history.csv,
predictions.csv, owner.json with examples/ (if the owner said something), and what the model could
score by besides what it looks for: shortcuts.md, shortcuts.json, evidence.png (it shows images of
the data: keep it out of repositories).
The same seed on the same machine and versions gives the same numbers.

one model by several processes, on CPUs (pip install -c constraints.txt -e '.[distributed]'):
  OMP_NUM_THREADS=4 accelerate launch --multi_gpu --num_processes 2 -m pipeline train ...
  OMP_NUM_THREADS=4 torchrun --nproc-per-node 2 -m pipeline train ...
The batch stays the same and each process computes its share of it. So the training is the same, to
rounding, except for augmentation and dropout, which differ by process, and batch normalisation,
which sees only the share. Every process runs the whole validation. The first process writes and
prints; if one fails, all end.
(accelerate's --cpu starts only one process, which is refused; --multi_gpu works on CPUs as well.)
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the command line."""
    parser = commands.add_parser(
        "train",
        help="images in, checkpoint out",
        description="Transfer learning and fine-tuning with fastai: frozen body, then everything.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_recipe_options(parser)
    parser.add_argument(
        "--architecture",
        metavar="A",
        help=f"{', '.join(ARCHITECTURES)}, or any of torchvision, timm and fastai's xresnets; "
        f"`architectures` lists them (default: {TrainConfig().architecture})",
    )
    parser.add_argument(
        "--out", type=Path, help="folder of the checkpoint (default: build/checkpoints/NAME)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    parser.add_argument(
        "--no-shortcuts",
        dest="shortcuts",
        action="store_false",
        help="do not look for shortcuts afterwards; `shortcuts` does it later",
    )
    add_owner_options(parser)
    parser.set_defaults(command=run, on_interrupt="nothing was changed")


def run(options: argparse.Namespace) -> int:
    """Serve it; return the exit code."""
    from pipeline.cli.next_commands import print_next
    from pipeline.cli.show import print_spec
    from pipeline.training.distributed import check_launch, process_group
    from pipeline.training.train import train

    config = recipe(options)
    check_launch(config.batch_size)
    with process_group():
        folder = train(
            config,
            options.data,
            options.out,
            name=options.name,
            model_version=options.model_version,
            positive=options.positive,
            overwrite=options.overwrite,
            shortcuts=options.shortcuts,
            words=owners_words(options),
            group_column=options.group_column,
        )
        print(f"\ncheckpoint: {folder}")
        print_spec(folder)
        print_next(folder, options.data, options.threads)
    return 0
