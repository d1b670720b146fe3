"""``python -m export predict``: what exported files say about images, side by side."""

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
    from collections.abc import Sequence

    from export.run.opened_artifact import ArtifactState
    from export.run.predict import ImageAnswers, Totals
    from pipeline.errors import BadInput
    from pipeline.json_files import JsonObject

EPILOG: Final = """\
Without --image the first PATH is the file or folder that is asked, the others are the images. With
it every PATH is asked, and their answers stand side by side:
  python -m export predict web_assets/model_fp32.onnx photo.jpg more/
  python -m export predict android_assets web_assets --image photo.jpg more/

Each file is run by its own runtime, as an app runs it; Core ML off a Mac by this project's
evaluator. In an asset folder no file is run whose hash is not the manifest's. A file that lies by
itself says its labels and its threshold, and nothing says whether it is whole.

exit codes: 0 answered (what was not run is listed), 1 a file is damaged or gives no answer, or two
files that hold the same model are further apart than their tolerances, 2 the request cannot be
served: bad input, an image that cannot be read, or no file has a runtime here
"""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `predict` to the command line."""
    parser = commands.add_parser(
        "predict",
        help="what exported files say about images, side by side",
        description="Ask exported files about images of your own.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="exported file, package or asset folder; without --image, then the images",
    )
    parser.add_argument(
        "--image",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="image files, or folders of them",
    )
    add_prediction_options(parser)
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.run.artifact_facts import listed_artifacts
    from export.run.opened_artifact import open_artifacts
    from export.run.predict import Totals, answers_document, heat_maps_of, image_answers
    from pipeline.predict.image_files import image_files

    refuse_options(options)
    asked, given = _request(options)
    images, listed = image_files(given), listed_artifacts(asked)
    heat_maps = heat_maps_of(options.heat_map, listed, given, images)
    states, opened = open_artifacts(listed)
    as_text = options.json != STDOUT
    if as_text:
        _print_states(states)
    totals = Totals()
    unreadable: list[BadInput] = []
    documents: list[JsonObject] = []

    def skip(error: BadInput) -> None:
        unreadable.append(error)
        tell_unreadable(error)

    with progress_on_stderr(as_text) as progress:
        for found in image_answers(opened, images if opened else [], heat_maps, progress, skip):
            totals.add(found)
            if as_text:
                _print_answers(found, options.top, alone=len(states) == 1)
            if options.json:
                documents.append(answers_document(found))
    if as_text and totals.sentence():
        print(totals.sentence())
    if as_text and heat_maps:
        _print_heat_maps(options.heat_map, totals)
    if options.json:
        put_json(_document(states, documents, unreadable, totals), options.json)
    if totals.faults or any(state.status == "fail" for state in states):
        return 1
    return 2 if unreadable or not opened else 0


def _request(options: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """What is asked, and about which images; the first path alone is asked without --image."""
    from export.run.artifact_facts import SUFFIXES
    from pipeline.errors import BadInput

    if options.image is not None:
        return options.paths, options.image
    first, *images = options.paths
    if not images:
        raise BadInput(f"{first} is asked about no image; name one after it, or with --image")
    if more := [path for path in images if path.suffix in SUFFIXES]:
        raise BadInput(f"{more[0]} is no image; to ask several files, name the images with --image")
    return [first], images


def _print_states(states: Sequence[ArtifactState]) -> None:
    known = [state.facts for state in states if state.facts]
    heads = (f"{f.model} {f.version}: {f.rule}. {f.intended_use}".rstrip() for f in known)
    for head in dict.fromkeys(heads):
        print(shown(head))
    for state in states:
        said = {"run": state.how, "fail": "FAIL", "not_run": "not run"}[state.status]
        reason = f": {shown(state.reason)}" if state.reason else ""
        print(f"{shown(state.path)}: {said}{reason}")


def _print_answers(found: ImageAnswers, top: int, alone: bool) -> None:
    """One line for a file that is asked alone, otherwise one for each below the image's."""
    lines = {shown(path): prediction_line(one, top) for path, one in found.answers.items()}
    if alone and lines:
        print(f"{shown(found.file)}: {next(iter(lines.values()))}", flush=True)
    else:
        print(shown(found.file))
        wide = max(map(len, lines), default=0)
        for path, line in lines.items():
            print(f"  {path:{wide}}  {line}", flush=True)
    for fault in found.faults:
        print(f"  FAIL: {fault}")


def _print_heat_maps(folder: Path, totals: Totals) -> None:
    from pipeline.predict.heat_map import NO_EVIDENCE

    for path in sorted(totals.without_evidence):
        print(f"heat maps of {shown(path)}: not run: {NO_EVIDENCE}")
    if totals.heat_maps:
        print(f"heat maps: {shown(folder)}")


def _document(
    states: Sequence[ArtifactState],
    images: Sequence[JsonObject],
    unreadable: Sequence[BadInput],
    totals: Totals,
) -> JsonObject:
    from export.run.predict import state_document

    return {
        "schema": 1,
        "command": "predict",
        "artifacts": [state_document(state) for state in states],
        "images": list(images),
        "unreadable": [shown(error) for error in unreadable],
        "other_labels": totals.other_labels,
        "max_abs_diff": totals.max_abs_diff,
        "faults": totals.faults,
    }
