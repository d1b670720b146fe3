"""``python -m pipeline predict``: what a checkpoint says about images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.predict.report import (
    STDOUT,
    add_prediction_options,
    prediction_line,
    progress_on_stderr,
    put_json,
    refuse_options,
    tell_unreadable,
)
from pipeline.terminal.console import shown

if TYPE_CHECKING:
    from pipeline.errors import BadInput

EPILOG: Final = """\
Folders are searched for image files, without what is hidden. Each image gets a line: its file, the
label that the model decides (by its threshold, if it has one), and the most probable labels.
`python -m export predict` asks exported files the same.

exit codes: 0 every image was answered, 2 the request cannot be served, or an image cannot be read
(the others are answered)
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `predict` to the command line."""
    parser = commands.add_parser(
        "predict",
        help="what a checkpoint says about images: label, probabilities, heat map",
        description="Ask a checkpoint about images of your own.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="its folder")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar="IMAGE", help="image file, or folder of them"
    )
    add_prediction_options(parser)
    parser.set_defaults(command=run, on_interrupt="heat maps that were written are kept")


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from pipeline.checkpoint import open_checkpoint
    from pipeline.predict.checkpoint_model import calibration_note, load_model
    from pipeline.predict.heat_map import NO_EVIDENCE, heat_map_places
    from pipeline.predict.image_files import image_files
    from pipeline.predict.predict import document_of, predictions
    from pipeline.predict.prediction import prediction_document

    refuse_options(options)
    images = image_files(options.images)
    places = heat_map_places(options.heat_map, options.images, images)
    checkpoint = open_checkpoint(options.checkpoint)
    model, spec = load_model(checkpoint), checkpoint.spec
    as_text = options.json != STDOUT
    if as_text:
        head = f"{spec.name} {spec.version}: {model.rule}; {calibration_note(spec)}"
        print(f"{head}. {shown(spec.intended_use)}")
    unreadable: list[BadInput] = []
    documents = []
    without = 0

    def skip(error: BadInput) -> None:
        unreadable.append(error)
        tell_unreadable(error)

    with progress_on_stderr(as_text) as progress:
        for found in predictions(model, images, places, progress, skip):
            without += found.heat_map is None
            if as_text:
                print(f"{shown(found.file)}: {prediction_line(found, options.top)}", flush=True)
            if options.json:
                documents.append(prediction_document(found))
    not_run = NO_EVIDENCE if places and without else ""
    if as_text and places:
        print(f"heat maps: not run: {not_run}" if not_run else f"heat maps: {options.heat_map}")
    if options.json:
        put_json(document_of(checkpoint, documents, unreadable, not_run), options.json)
    return 2 if unreadable else 0
