"""The command line of the pipeline. Heavy packages are imported by the command that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pipeline.cli import compare_options
from pipeline.config import ARCHITECTURES, PRESETS, TrainConfig
from pipeline.mixed_precision import ARITHMETICS
from pipeline.terminal import serve

DESCRIPTION = """\
Train an image classifier and write a checkpoint that `python -m export` turns into mobile models.
Research use only: nothing made with this program is a medical device.
"""
EPILOG = """\
examples:
  python -m pipeline train                                synthetic phantoms, no data needed
  python -m pipeline train --data xrays/                  train/<label>/ and valid/<label>/
  python -m pipeline train --data xrays/metadata.csv      columns file,label[,split,patient,source]
  python -m pipeline compress build/checkpoints/squeezenet1_1_xrays --data xrays/
  python -m pipeline adopt export.pkl --trust-pickle      a fastai learner that you already have
  python -m pipeline shortcuts build/checkpoints/squeezenet1_1_xrays --data xrays/metadata.csv
  python -m pipeline compare --data xrays/                five topologies, two protocols
  python -m pipeline show build/checkpoints/squeezenet1_1_xrays

exit codes: 0 done, 1 an adopted network does not answer as the learner's own,
2 the request cannot be served (the message says why)
"""
TRAIN_EPILOG = """\
data: a folder with train/<label>/ and valid/<label>/, a folder with <label>/ alone (a quarter
becomes valid, by seed), or a CSV table with the columns file, label and optionally split
(train or valid), patient (never on both sides) and source. Files are relative to the table.

The result is a folder: checkpoint.json, model.safetensors, curves.png, history.csv,
predictions.csv, and what the model could score by beside the disease: shortcuts.md,
shortcuts.json, evidence.png (it shows images of the data: keep it out of repositories).
The same seed on the same machine and versions gives the same numbers.

one model by several processes, on CPUs (pip install -c constraints.txt -e '.[distributed]'):
  OMP_NUM_THREADS=4 accelerate launch --multi_gpu --num_processes 2 -m pipeline train ...
  OMP_NUM_THREADS=4 torchrun --nproc-per-node 2 -m pipeline train ...
The batch stays as it is, each process computes its share of it: the same training, to rounding,
but for augmentation and dropout, which differ by process, and batch normalisation, which sees the
share. Validation is done whole by each. The first process writes and prints; if one fails, all end.
(accelerate's --cpu starts one process only, which is refused; --multi_gpu serves CPUs as well.)
"""
COMPRESS_EPILOG = """\
int8: weights and activations in 8 bits, calibrated on training images; about half a minute.
w4, w3: weights in 4 bits, or 3 in the mean, arithmetic as before; rounded layer by layer, then
fine-tuned with the model itself as teacher; labels are not used. Several times as long as training.

Each becomes a folder inside the checkpoint's (CHECKPOINT/int8, ...), where `python -m export all`
finds it. How it compares with the checkpoint on the validation images is printed and kept; what
loses too much is not published.
"""
ADOPT_EPILOG = """\
weights of `learn.save` (.pth) or .safetensors: say what they do not, first of all --labels. They
are read without running anything in the file. `vision_learner` normalises by ImageNet's mean and
std if it was pretrained; if not, it leaves pixels / 255: --mean 0,0,0 --std 1,1,1.

an exported learner of `learn.export` (.pkl): labels, side and normalisation are read from it. It is
a pickle, and opening a pickle runs the code in it: only with --trust-pickle, for a file from
somebody you trust.

The head may be fastai's own (create_head) or this project's; the body one of the five topologies.
Nothing is written unless the adopted network and the learner's model give the same probabilities
(to 1e-5) for the same tensors. With --data there are figures on its validation images.
"""
SHORTCUTS_EPILOG = """\
Where the table has a column source: the model's AUROC within each source, and how well the source
can be told from the model's features, among all images and within each label. For all data: where
in the images the evidence lies, and how much of it at the edge.

The result is a folder: shortcuts.md (read this), shortcuts.json, evidence.png. The picture shows
images of the data: keep it out of repositories. `train` writes the same into its checkpoint's
folder.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = make_parser().parse_args(arguments)
    return serve(lambda: options.command(options), options.on_interrupt)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    train = commands.add_parser(
        "train",
        help="images in, checkpoint out",
        description="Transfer learning and fine-tuning with fastai: frozen body, then everything.",
        epilog=TRAIN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_recipe_options(train)
    train.add_argument(
        "--architecture",
        metavar="A",
        help=f"{', '.join(ARCHITECTURES)} (default: {TrainConfig().architecture})",
    )
    train.add_argument(
        "--out", type=Path, help="folder of the checkpoint (default: build/checkpoints/NAME)"
    )
    train.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    train.add_argument(
        "--no-shortcuts",
        dest="shortcuts",
        action="store_false",
        help="do not look for shortcuts afterwards; `shortcuts` does it later",
    )
    train.set_defaults(command=_train, on_interrupt="nothing was changed")
    compress = commands.add_parser(
        "compress",
        help="checkpoint in, compressed checkpoints (int8, w4, w3) out",
        description="Put a checkpoint's weights on grids that every mobile format can hold.",
        epilog=COMPRESS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_compress_options(compress)
    compress.set_defaults(
        command=_compress, on_interrupt="what was told of is kept, nothing else was changed"
    )
    adopt = commands.add_parser(
        "adopt",
        help="a fastai learner's file in, checkpoint out",
        description="Make a checkpoint of a fastai learner that is trained already.",
        epilog=ADOPT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_adopt_options(adopt)
    adopt.set_defaults(command=_adopt, on_interrupt="nothing was changed")
    shortcuts = commands.add_parser(
        "shortcuts",
        help="what a checkpoint could score by beside the disease: the source, the edge",
        description="Look for shortcuts: can the model tell the hospital, where does it look?",
        epilog=SHORTCUTS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_shortcuts_options(shortcuts)
    shortcuts.set_defaults(command=_shortcuts, on_interrupt="nothing was changed")
    compare = commands.add_parser(
        "compare",
        help="which topology? the paper's comparison, on your images",
        description=compare_options.DESCRIPTION,
        epilog=compare_options.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_recipe_options(compare)
    compare_options.add_options(compare)
    compare.set_defaults(command=_compare, on_interrupt=compare_options.INTERRUPTED)
    ablate = commands.add_parser(
        "ablate",
        help="what each part of the released recipe brings, on your images",
        description="Train the released recipe, and the same with one thing changed at a time. "
        "What is trained already is not trained again.",
    )
    ablate.add_argument("--data", type=Path, required=True, help="folder or .csv table of images")
    ablate.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[2, 3, 4],
        metavar="N",
        help="of the recipe itself (default: 2 3 4)",
    )
    ablate.add_argument(
        "--variant-seeds",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="of what differs from the recipe (default: the first of --seeds)",
    )
    ablate.add_argument(
        "--only", action="append", default=[], metavar="VARIANT", help="some (default: all)"
    )
    ablate.add_argument(
        "--threads", type=int, default=0, metavar="N", help="of torch, 0: all cores"
    )
    ablate.add_argument(
        "--out", type=Path, default=Path("build/ablation"), help="(default: build/ablation)"
    )
    ablate.set_defaults(
        command=_ablate, on_interrupt="finished trainings are kept; the same command goes on"
    )
    show = commands.add_parser("show", help="what a checkpoint says of itself")
    show.add_argument("checkpoint", type=Path, nargs="?", help="its folder (default: the released)")
    show.set_defaults(command=_show, on_interrupt="nothing was changed")
    return parser


def _add_recipe_options(parser: argparse.ArgumentParser) -> None:
    default = TrainConfig()
    parser.add_argument(
        "--data", type=Path, help="folder or .csv table of images (default: synthetic phantoms)"
    )
    parser.add_argument("--name", help="of the model; files are named by it")
    parser.add_argument("--model-version", default="0.0.0", metavar="V", help="(default: 0.0.0)")
    parser.add_argument(
        "--positive",
        metavar="LABEL",
        help="label that recall speaks of (default: the rarer of two)",
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
        help="initial weights of the body (default: auto: ImageNet if to be had)",
    )
    parser.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        help="of training; bf16 halves its time where the CPU has it (default: auto: if it has)",
    )
    for option, kind, meaning in (
        ("side", int, "width and height of the input in pixels"),
        ("batch-size", int, "images per step"),
        ("seed", int, "of everything random"),
        ("threads", int, "CPU threads of torch, 0 for all cores"),
        ("frozen-epochs", int, "epochs in which the head alone learns"),
        ("finetune-epochs", int, "epochs in which everything learns"),
        ("frozen-lr", float, "peak learning rate, first stage"),
        ("finetune-lr", float, "peak learning rate, second stage"),
        ("body-lr-factor", float, "share of it that the body learns with"),
        ("averaging", float, "decay of the moving average of the weights, 0 for none"),
        ("consistency", float, "weight of answering alike whatever filter resized, 0 for none"),
        ("mixup", float, "alpha of the blending of images, 0 for none"),
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


def _add_compress_options(parser: argparse.ArgumentParser) -> None:
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
        ("epochs", int, "epochs of fine-tuning; 0: rounding alone (default: w4 20, w3 40, int8 0)"),
        ("lr", float, "its peak learning rate (default: 0.0005)"),
        ("batch-size", int, "images per step (default: 16)"),
        ("seed", int, "of everything random (default: 2)"),
        ("threads", int, "CPU threads of torch, 0 for all cores (default: 0)"),
        ("calibration-images", int, "training images that ranges are fitted on (default: 128)"),
    ):
        parser.add_argument(f"--{option}", type=kind, metavar="N", help=meaning)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what was compressed before"
    )


def _add_adopt_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="FILE", help=".pth, .safetensors or .pkl")
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="open an exported learner, which runs the code that is in the file",
    )
    parser.add_argument("--architecture", help="of weights (default: as recognised)")
    parser.add_argument(
        "--labels",
        type=_names,
        default=(),
        metavar="A,B",
        help="of weights: class names in the order of the outputs (fastai: dls.vocab)",
    )
    parser.add_argument("--side", type=int, metavar="N", help="of weights (default: 224)")
    for option, meaning in (("mean", "mean per channel"), ("std", "standard deviation")):
        parser.add_argument(
            f"--{option}",
            type=_triple,
            metavar="R,G,B",
            help=f"of weights: {meaning} of pixels / 255 (default: ImageNet's)",
        )
    parser.add_argument(
        "--positive", metavar="LABEL", help="label that recall speaks of (default: as in train)"
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


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _triple(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(value) for value in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not three numbers R,G,B") from error
    return red, green, blue


def _add_shortcuts_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, nargs="?", help="its folder (default: released)")
    parser.add_argument(
        "--data",
        type=Path,
        help="the images it was trained on, folder or .csv (default: synthetic phantoms)",
    )
    parser.add_argument("--out", type=Path, help="folder (default: build/shortcuts/NAME)")
    for option, default, meaning in (
        ("seed", 2, "of the images that are shown"),
        ("threads", 0, "CPU threads of torch, 0 for all cores"),
    ):
        parser.add_argument(
            f"--{option}", type=int, default=default, metavar="N", help=f"{meaning} ({default})"
        )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def _recipe(options: argparse.Namespace) -> TrainConfig:
    """The configuration that the options ask for: defaults, then preset, then what was given."""
    given = {
        f.name: value
        for f in fields(TrainConfig)
        if (value := getattr(options, f.name, None)) is not None
    }
    return TrainConfig(**{**PRESETS[options.preset], **given})


def _train(options: argparse.Namespace) -> int:
    from pipeline.training.distributed import check_launch, process_group
    from pipeline.training.train import train

    recipe = _recipe(options)
    check_launch(recipe.batch_size)
    with process_group():
        folder = train(
            recipe,
            options.data,
            options.out,
            name=options.name,
            model_version=options.model_version,
            positive=options.positive,
            overwrite=options.overwrite,
            shortcuts=options.shortcuts,
        )
        print(f"\ncheckpoint: {folder}")
        _print_spec(folder)
        print(f"\nnext: python -m export all --checkpoint {folder}")
    return 0


def _compress(options: argparse.Namespace) -> int:
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
    print(f"\nnext: python -m export all --checkpoint {options.checkpoint}")
    return 0


def _adopt(options: argparse.Namespace) -> int:
    from pipeline.adopt.adopt import adopt
    from pipeline.adopt.source_model import Adoption

    folder = adopt(Adoption(**{f.name: getattr(options, f.name) for f in fields(Adoption)}))
    if folder is None:
        return 1
    print(f"\ncheckpoint: {folder}")
    _print_spec(folder)
    print(f"\nnext: python -m export all --checkpoint {folder}")
    return 0


def _shortcuts(options: argparse.Namespace) -> int:
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


def _compare(options: argparse.Namespace) -> int:
    return compare_options.compare(options, _recipe(options))


def _ablate(options: argparse.Namespace) -> int:
    from pipeline.study.ablation import RESULTS_FILE, ablate

    document = ablate(
        options.data,
        options.seeds,
        options.out,
        options.only,
        variant_seeds=options.variant_seeds,
        threads=options.threads,
    )
    for row in document["rows"]:
        figures = row["figures"]
        print(
            f"{row['variant']:36} AUROC {figures['auroc']['mean']:.3f} "
            f"({', '.join(f'{v:.3f}' for v in figures['auroc']['values'])}), "
            f"calibration error {figures['calibration_error']['mean']:.3f}"
        )
    print(f"written to {options.out / RESULTS_FILE}")
    return 0


def _show(options: argparse.Namespace) -> int:
    from pipeline.checkpoint import RELEASED

    _print_spec(options.checkpoint or RELEASED)
    return 0


def _print_spec(folder: Path) -> None:
    from pipeline.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(folder)
    spec = checkpoint.spec
    print(f"{spec.name} {spec.version}: {spec.architecture}, {spec.side} x {spec.side} px RGB")
    print(f"labels: {', '.join(spec.labels)}; positive: {spec.positive} from {spec.threshold} on")
    for name, figure in spec.metrics.items():
        if isinstance(figure, dict):
            value, low, high = figure["value"], figure["low"], figure["high"]
            print(f"  {name:20} {value:.3f}  (95 % interval {low:.3f} to {high:.3f})")
        else:
            print(f"  {name:20} {figure:.3f}")
    if spec.compression is not None:
        print(f"compressed to {spec.compression.precision} from {spec.compression.parent_sha256}")
    print(f"initial weights: {spec.training.get('initial_weights', 'not stated')}")
    print(f"SHA-256: {checkpoint.sha256}")
    print(spec.intended_use)
