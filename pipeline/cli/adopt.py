"""``python -m pipeline adopt``: a fastai learner's file in, checkpoint out."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Final

from pipeline.cli.owner_options import add_owner_options, owners_words
from pipeline.cli.recipe import side

EPILOG: Final = """\
weights of `learn.save` (.pth) or .safetensors: give what the file lacks, first of all --labels, and
--resize crop if fastai's own Resize(N) made the images smaller. It is read without running anything
in it. `vision_learner` normalises by ImageNet's mean and std if it was pretrained; if not, it only
divides pixels by 255: --mean 0,0,0 --std 1,1,1.

an exported learner of `learn.export` (.pkl): labels, size, resize and normalisation are found by
running it. It is a pickle, and opening a pickle runs the code in it: give --trust-pickle only for a
file from somebody you trust.

A network of torchvision, fastai's xresnets or timm under fastai's own head (create_head), this
project's, or one linear layer behind its pool is rebuilt by its name. Any other network is kept in
the checkpoint as a program, its operations one by one: of an exported learner whatever module it
has, of weights a whole classifier of those libraries. Images have one label each; what tells of
several, or of numbers, is refused. A model of one channel gets the grey of its images. Nothing is
written unless the adopted network and the learner's model give the same probabilities (to 1e-5)
for the same tensors, and an exported learner also from image file to probabilities, by its own
transforms: one whose resize apps cannot repeat exactly is refused. With --data there are figures
on its validation images.
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `adopt` to the command line."""
    parser = commands.add_parser(
        "adopt",
        help="a fastai learner's file in, checkpoint out",
        description="Make a checkpoint from a fastai learner that is already trained.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", type=Path, metavar="FILE", help=".pth, .safetensors or .pkl")
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="open an exported learner, which runs the code in the file",
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="of torchvision, fastai or timm (default: as recognised)",
    )
    parser.add_argument(
        "--labels",
        type=_names,
        default=(),
        metavar="A,B",
        help="of weights: class names in the order of the outputs (fastai: dls.vocab)",
    )
    parser.add_argument(
        "--side", type=side, metavar="N", help="of weights, or HEIGHTxWIDTH (default: 224)"
    )
    parser.add_argument(
        "--resize",
        metavar="METHOD",
        help="of weights: how images became the input (default: squish): squish, crop (fastai's "
        "Resize(N)), pad (by reflection; pad:zeros, pad:border), centre (CropPad), squish:32 "
        "(RandomResizedCrop(224))",
    )
    for option, meaning in (("mean", "mean per channel"), ("std", "standard deviation")):
        parser.add_argument(
            f"--{option}",
            type=_triple,
            metavar="R,G,B",
            help=f"of weights: {meaning} of pixels / 255 (default: ImageNet's)",
        )
    parser.add_argument(
        "--positive", metavar="LABEL", help="label that recall refers to (default: as in train)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="probability of the positive label that decides (default: Youden's with --data, "
        "else 0.5)",
    )
    parser.add_argument("--data", type=Path, help="folder or .csv table of images to measure on")
    parser.add_argument("--name", help="of the model; files are named by it")
    parser.add_argument("--model-version", default="0.0.0", metavar="V", help="(default: 0.0.0)")
    parser.add_argument(
        "--out", type=Path, help="folder of the checkpoint (default: build/checkpoints/NAME)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    add_owner_options(parser)
    parser.set_defaults(command=run, on_interrupt="nothing was changed")


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from pipeline.adopt.adopt import adopt
    from pipeline.adopt.source_model import Adoption
    from pipeline.cli.next_commands import print_next
    from pipeline.cli.show import print_spec

    named = (f.name for f in fields(Adoption) if f.name in options and f.name != "words")
    asked = {name: getattr(options, name) for name in named}
    folder = adopt(Adoption(**asked, words=owners_words(options)))
    if folder is None:
        return 1
    print(f"\ncheckpoint: {folder}")
    print_spec(folder)
    print_next(folder, options.data)
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _triple(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(value) for value in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers R,G,B") from error
    return red, green, blue
