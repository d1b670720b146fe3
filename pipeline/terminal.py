"""The terminal: a console whose tables are not cut where nobody can widen the window."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LOG_WIDTH = 100


def open_console() -> Console:
    """A rich console on stdout; in a log it is `LOG_WIDTH` wide, where rich would guess 80."""
    from rich.console import Console

    in_log = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=LOG_WIDTH if in_log else None)
