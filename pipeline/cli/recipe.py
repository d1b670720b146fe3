"""The options of a recipe: what `train` and `compare` have in common, images included."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from pipeline.config import PRESETS, TrainConfig
from pipeline.mixed_precision import ARITHMETICS
from pipeline.resize.notation import read_side
from pipeline.resize.rule import Size


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """What `train` and `compare` have in common: the images and the recipe."""
    default = TrainConfig()
    parser.add_argument(
        "--data", type=Path, help="folder or .csv table of images (default: synthetic phantoms)"
    )
    parser.add_argument("--name", help="of the model; files are named by it")
    parser.add_argument("--model-version", default="0.0.0", metavar="V", help="(default: 0.0.0)")
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="label that recall refers to (default: the rarer of two)",
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="paper",
        help="paper: 3 + 8 epochs; quick: 1 + 2, to try things; released: 30 + 20, slow and "
        "averaged, as the released model was trained (default: paper)",
    )
    parser.add_argument(
        "--weights",
        choices=("auto", "imagenet", "none"),
        default=default.weights,
        help="initial weights of the body (default: auto: ImageNet if available)",
    )
    parser.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        help="of training; bf16 halves its time where the CPU has it (default: auto, if it has)",
    )
    parser.add_argument(
        "--resize",
        metavar="METHOD",
        help="how an image becomes the input: squish, the whole of it; crop, the largest part from "
        "its middle; pad, the whole of it in a frame filled by reflection, pad:zeros or pad:border "
        f"(default: {default.resize})",
    )
    for option, kind, meaning in (
        ("side", side, "a square input's side in pixels, or HEIGHTxWIDTH such as 192x256"),
        ("batch-size", int, "images per step"),
        ("seed", int, "of everything random"),
        ("threads", int, "CPU threads of torch, 0 for all cores"),
        ("frozen-epochs", int, "epochs in which the head alone learns"),
        ("finetune-epochs", int, "epochs in which everything learns"),
        ("frozen-lr", float, "peak learning rate, first stage"),
        ("finetune-lr", float, "peak learning rate, second stage"),
        ("body-lr-factor", float, "share of it for the body"),
        ("averaging", float, "decay of the moving average of the weights, 0 for none"),
        ("consistency", float, "weight of equal outputs for all resize filters, 0 for none"),
        ("mixup", float, "alpha of blending images, 0 for none"),
        ("label-smoothing", float, "share of the target spread over all labels"),
        ("crop", float, "least share of an image that a random crop keeps, 1 for no crop"),
        ("least-recall", float, "recall that the threshold must reach, 0 for Youden's threshold"),
    ):
        value = getattr(default, option.replace("-", "_"))
        parser.add_argument(
            f"--{option}",
            *(["--epochs"] if option == "finetune-epochs" else []),
            type=kind,
            metavar="N",
            help=f"{meaning} (default: {value}, or the preset's)",
        )


def side(text: str) -> Size:
    """An option's text as `pipeline.resize.notation.read_side` reads it."""
    try:
        return read_side(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def recipe(options: argparse.Namespace) -> TrainConfig:
    """The configuration that the options ask for: defaults, then preset, then what was given."""
    given = {
        f.name: value
        for f in fields(TrainConfig)
        if (value := getattr(options, f.name, None)) is not None
    }
    return TrainConfig(**{**PRESETS[options.preset], **given})
