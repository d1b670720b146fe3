"""The commands in what a program printed, each as it stands there."""

from __future__ import annotations

import re

COMMAND = re.compile(r"python -m (?:pipeline|export) [^`\n]*")


def printed_commands(text: str) -> list[str]:
    """To the end of the line, or of the backticks, whichever comes first."""
    return [found.group().rstrip() for found in COMMAND.finditer(text)]
