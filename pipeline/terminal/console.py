"""The terminal: how every command line of this project ends, what it prints, and a console for it.

Where there is no terminal, in a program of one's own, `printed_to` makes calls of what is printed.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Final

from pipeline.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH: Final = 100
INTERRUPTED: Final = 130  # what a shell reports of a program that Ctrl-C ended


def serve(command: Callable[[], int], on_interrupt: str) -> int:
    """Run a command; return its exit code, or 2 with one line on stderr if the user can fix it.

    `on_interrupt` is printed after Ctrl-C: the state in which things are left. Any other exception
    is a bug and keeps its traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # labels and file names may be of any script
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; {on_interrupt}", file=sys.stderr)
        return INTERRUPTED


def open_console() -> Console:
    """A rich console on stdout; in a log it is `LOG_WIDTH` wide, where rich would guess 80."""
    from rich.console import Console

    in_log = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=LOG_WIDTH if in_log else None)


def shown(value: object) -> str:
    """Text from a file, or a name of one, that is safe on a terminal: unprintables are escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value)
    )


class _Lines(io.TextIOBase):
    """A stream that passes on whole lines, each as it stands when it ends."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.before, self.rest = say, sys.stdout, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        with redirect_stdout(self.before):  # `say` itself may print
            for line in lines:
                self.say(line.rstrip("\r").rsplit("\r", 1)[-1])
        return len(text)


@contextmanager
def printed_to(say: Callable[[str], None] | None) -> Iterator[None]:
    """Whatever the block prints, by any library, is lines for `say`; None: it is lost.

    It applies to the whole process: other threads that print meanwhile are heard too.
    """
    lines = _Lines(say or (lambda line: None))
    with redirect_stdout(lines):
        yield
    if lines.rest:
        lines.write("\n")
