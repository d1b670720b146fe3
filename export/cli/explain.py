"""``python -m export explain``: the layer at which an artifact leaves PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path

from export.cli.options import BUILD, IMAGES, refuse_below_one
from export.formats.register import FORMATS


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain` to the command line."""
    parser = commands.add_parser(
        "explain",
        help="find the layer at which an artifact leaves PyTorch",
        description="Compare an artifact with PyTorch layer by layer, on one image.",
    )
    parser.add_argument("format", choices=tuple(FORMATS), help="format of the artifact")
    parser.add_argument("--precision", default="fp32", metavar="P", help="(default: fp32)")
    parser.add_argument(
        "--artifact",
        type=Path,
        metavar="PATH",
        help="the file or package (default: the last export's, in build/export)",
    )
    parser.add_argument(
        "--image",
        default="hard/noise_colour",
        metavar="NAME",
        help="a parity image, such as the worst one in a report (default: %(default)s)",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="of the model (default: the released one)"
    )
    parser.add_argument(
        "--data", type=Path, metavar="PLACE", help="folder or .csv that the image is from"
    )
    parser.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="the image is one of at most N validation images, as in the export (default: 1000)",
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.deploy.variants import missing_variant
    from export.errors import CannotRunHere, Unreadable
    from export.parity.layer_diff import explain, print_explanation
    from export.parity.reference import build_references
    from export.run.convert import artifact_name
    from pipeline.checkpoint import RELEASED, open_checkpoint
    from pipeline.errors import BadInput
    from pipeline.terminal.console import open_console

    precisions = FORMATS[options.format].precisions
    if options.precision not in precisions:
        raise BadInput(f"{options.format} comes in {', '.join(precisions)}")
    checkpoint = open_checkpoint(options.checkpoint or RELEASED)
    name = artifact_name(checkpoint.spec.name, options.format, options.precision)
    path = options.artifact or BUILD / name
    if not path.exists():
        raise BadInput(f"no artifact at {path}; name it with --artifact, or export first")
    variant = FORMATS[options.format].precisions[options.precision].variant
    absent = missing_variant(checkpoint, variant, options.data)
    if absent:
        raise BadInput(absent)
    refuse_below_one(options, "images")
    limit = options.images or IMAGES
    references = build_references(checkpoint, options.data, limit, variants=())
    reference = references.of(variant)
    if options.image not in reference.images.names:
        some = ", ".join(reference.images.names[:2] + reference.images.names[-2:])
        raise BadInput(f"no image {options.image!r}; there are {some} and more")
    try:
        found = explain(options.format, options.precision, path, reference, options.image)
    except (Unreadable, CannotRunHere) as error:
        raise BadInput(str(error)) from error
    print_explanation(open_console(), found)
    return int(found.differs)
