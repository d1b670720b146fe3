"""``python -m export golden``: replay a golden pack, or name an app's mistake."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `golden` to the command line."""
    parser = commands.add_parser(
        "golden",
        help="replay a folder's golden pack, or find what an app gets wrong",
        description="Replay the golden pack of an asset folder through the resize rule and every "
        "file that has a runtime here. With --case: judge what an app made of that image: right, "
        "a known mistake in preprocessing, or a fault of the model. Needs torch only for .ptl "
        "files and for one of the mistakes.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="an asset folder")
    parser.add_argument("--case", metavar="NAME", help="the image that the app was given")
    parser.add_argument(
        "--pixels",
        type=Path,
        metavar="FILE",
        help="the pixels that the app gave to its model: an RGB .png, or an .npy array",
    )
    parser.add_argument(
        "--probs", metavar="P,Q", help="what its model output, in the order of labels.txt"
    )
    parser.add_argument(
        "--artifact", metavar="FILE", help="the model file that it ran, by its path in the folder"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the verdict as JSON")
    parser.add_argument(
        "--strict", action="store_true", help="exit 1 also if something could not be run here"
    )
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from export.golden.replay import replay
    from export.golden.report import print_replay, replay_document
    from pipeline.errors import BadInput
    from pipeline.json_files import write_json
    from pipeline.terminal.console import open_console

    given = [o for o in ("pixels", "probs", "artifact") if getattr(options, o) is not None]
    if options.case is not None:
        return _diagnose(options)
    if given:
        raise BadInput(f"--{given[0]} belongs to one image: name it with --case")
    found = replay(options.folder)
    print_replay(open_console(), found)
    if options.json:
        write_json(options.json, replay_document(found))
    return int(found.failed or (options.strict and found.not_run))


def _diagnose(options: argparse.Namespace) -> int:
    from export.golden.diagnosis import diagnose, read_answer, read_app_pixels
    from export.golden.replay import read_both
    from export.golden.report import diagnosis_document
    from pipeline.errors import BadInput
    from pipeline.json_files import write_json

    if options.pixels is None and options.probs is None:
        raise BadInput("--case needs what the app made of it: --pixels, --probs or both")
    pack, artifacts = read_both(options.folder)
    pixels = options.pixels and read_app_pixels(options.pixels, pack.rule.side)
    answer = None
    if options.probs is not None:
        answer = read_answer(options.probs, options.artifact, artifacts)
    found = diagnose(pack, options.case, pixels, answer)
    for sentence in found.sentences:
        print(sentence)
    if options.json:
        write_json(options.json, diagnosis_document(found))
    return int(found.faulty)
