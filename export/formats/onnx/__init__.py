"""ONNX: one file for onnxruntime on Android, iOS and the Web."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.formats.base import Verbs
    from export.formats.snippet import SnippetMaker


def load_verbs() -> Verbs:
    """The module with the verbs."""
    from export.formats.onnx import format

    return format


def load_snippets() -> Sequence[SnippetMaker]:
    """Code that loads a file by the runtime alone."""
    from export.formats.onnx.snippets import SNIPPETS

    return SNIPPETS
