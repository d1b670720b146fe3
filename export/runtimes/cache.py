"""The cache folder: what was fetched once, each entry complete or not there at all.

An entry is a folder with its content and a recipe: lines that say what was put in. An entry with
another recipe (an older version of this project, another Python) counts as missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pipeline.atomic_files import staged_folder

RECIPE_FILE: Final = "recipe.txt"


def cache_folder() -> Path:
    """``mobile-model-export`` in `XDG_CACHE_HOME`, or in ``~/.cache`` where that is not set."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The specification says to ignore a relative one:
    # https://specifications.freedesktop.org/basedir-spec/latest/#variables
    root = Path(named) if named.startswith("/") else Path.home() / ".cache"
    return root / "mobile-model-export"


def entry(name: str) -> Path:
    """The folder of an entry, which need not exist."""
    return cache_folder() / name


def is_whole(name: str, recipe: Sequence[str]) -> bool:
    """Whether the entry is there and has this recipe."""
    try:
        return (entry(name) / RECIPE_FILE).read_text(encoding="utf-8") == _text(recipe)
    except OSError:
        return False


def fill(name: str, recipe: Sequence[str], build: Callable[[Path], None]) -> None:
    """Let `build` fill a staging folder, then put it in place; on an exception nothing is left.

    Raises:
        BadInput: the cache folder cannot be written.
    """
    with staged_folder(entry(name)) as staging:
        build(staging)
        (staging / RECIPE_FILE).write_text(_text(recipe), encoding="utf-8")


def _text(recipe: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in recipe)
