"""A command of this project as it is printed to be typed next: every option in force, quoted.

In: module, command, and what it is about. Out: one line that a POSIX shell takes as it is printed.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = str | int | float | Path | Sequence[str] | None


def command_line(module: str, command: str, *words: str | Path, **options: Value) -> str:
    """``python -m MODULE COMMAND WORD ... --option VALUE ...``.

    Args:
        module: ``pipeline`` or ``export``.
        command: of it.
        words: what it is about, such as a checkpoint's folder.
        options: by the option's name, underscores for dashes. None, False and nothing are left out;
            True stands without a value; several values are joined by commas.
    """
    parts = ["python", "-m", module, command, *map(_word, words)]
    for name, value in options.items():
        parts += _option(f"--{name.replace('_', '-')}", value)
    return shlex.join(parts)


def _word(word: str | Path) -> str:
    """A word that begins with a dash would be taken for an option."""
    text = str(word)
    return f"./{text}" if text.startswith("-") else text


def _option(option: str, value: Value) -> list[str]:
    if isinstance(value, bool):
        return [option] * value
    if value is None or value == () or value == []:
        return []
    text = ",".join(value) if isinstance(value, tuple | list) else str(value)
    return [f"{option}={text}"] if text.startswith("-") else [option, text]
