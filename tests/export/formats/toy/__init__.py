"""A format as someone would add one: a test copies this folder to ``export/formats/toy/``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.formats.base import Verbs
    from export.formats.snippet import SnippetMaker


def load_verbs() -> Verbs:
    """What it does."""
    from . import format

    return format


def load_snippets() -> Sequence[SnippetMaker]:
    """Code that loads a file by the runtime alone."""
    from .snippets import SNIPPETS

    return SNIPPETS
