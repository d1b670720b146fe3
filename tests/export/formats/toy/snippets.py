"""Code that loads a toy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from export.formats.snippet import PYTHON, Snippet, SnippetFile, SnippetMaker


def _python(file: SnippetFile) -> Snippet:
    return Snippet("Toys alone", PYTHON, f"import torch\n\ntoy = torch.load({file.path!r})")


SNIPPETS: Final[Sequence[SnippetMaker]] = (SnippetMaker("", _python),)
