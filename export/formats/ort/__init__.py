"""The ORT format: the ONNX file, optimised ahead, for the same runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.formats.base import Verbs
    from export.formats.snippet import SnippetMaker


def load_verbs() -> Verbs:
    """The module with the verbs."""
    from export.formats.ort import format

    return format


def load_snippets() -> Sequence[SnippetMaker]:
    """Code that loads a file by the runtime alone."""
    from export.formats.ort.snippets import SNIPPETS

    return SNIPPETS
