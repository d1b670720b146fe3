"""The terminal: how every command line of this project ends, and a console that fits a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
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
