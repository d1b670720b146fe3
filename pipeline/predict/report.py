"""Predictions for people (a line each) and for programs (JSON), and how far a long run is.

The options, the progress and the text that `predict` of the pipeline and of export share. Importing
it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import BadInput
from pipeline.json_files import write_json
from pipeline.terminal.console import shown

if TYPE_CHECKING:
    from pipeline.predict.prediction import Prediction

TOP: Final = 5
STDOUT: Final = "-"
MANY: Final = 100  # images from which on a log is told how far it is
Progress = Callable[[int, int], None]  # images that are done, and all


def add_prediction_options(parser: argparse.ArgumentParser) -> None:
    """The options that both command lines have."""
    parser.add_argument(
        "--top",
        type=int,
        default=TOP,
        metavar="N",
        help="print the N most probable labels (default: %(default)s); JSON has all",
    )
    parser.add_argument(
        "--heat-map",
        type=Path,
        metavar="DIR",
        help="write a PNG for each image: where the evidence for the decided label lies",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write the answers as JSON; - for stdout, in place of text"
    )


def refuse_options(options: argparse.Namespace) -> None:
    """Raise `BadInput` for what can be refused before anything is read."""
    from pipeline.predict.image_files import kind_of

    if options.top < 1:
        raise BadInput(f"--top {options.top}: need at least 1")
    if options.json not in (None, STDOUT) and kind_of(Path(options.json)) == "folder":
        raise BadInput(f"--json {options.json} is a folder; name a file in it")


def prediction_line(found: Prediction, top: int) -> str:
    """The label and the most probable ones, such as ``été (été 0.912, hiver 0.088)``."""
    said = [f"{shown(label)} {prob:.3f}" for label, prob in found.most_probable(top)]
    more = ", ..." if len(found.probs) > top else ""
    return f"{shown(found.label)} ({', '.join(said)}{more})"


def put_json(document: Mapping[str, object], target: str) -> None:
    """Write the document to the file `target`, or to stdout if it is ``-``, there in ASCII.

    Raises:
        BadInput: the place cannot be written.
    """
    if target == STDOUT:
        print(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))
    else:
        write_json(Path(target), document)


def tell_unreadable(error: BadInput) -> None:
    """An image that cannot be read, on stderr; the others go on."""
    print(f"error: {shown(error)}", file=sys.stderr)


@contextmanager
def progress_on_stderr(lines_are_seen: bool) -> Iterator[Progress]:
    """A bar on a terminal's stderr; in a log, a line for each tenth of many images.

    `lines_are_seen`: each image has its line on stdout; on a terminal that is progress enough.
    """
    if lines_are_seen and sys.stdout.isatty():
        yield lambda done, count: None
    elif not sys.stderr.isatty():
        yield _tell_tenths
    else:
        from rich.console import Console
        from rich.progress import Progress as Bar

        with Bar(console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
            task = bar.add_task("images", total=None)
            yield lambda done, count: bar.update(task, completed=done, total=count)


def _tell_tenths(done: int, count: int) -> None:
    if count >= MANY and done * 10 // count > (done - 1) * 10 // count:
        print(f"{done} of {count} images", file=sys.stderr, flush=True)
