"""Code that loads a file of the ORT format: the same as for ONNX, on Android and in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from export.formats.onnx.snippets import kotlin_onnxruntime, python_onnxruntime
from export.formats.snippet import SnippetMaker

SNIPPETS: Final[Sequence[SnippetMaker]] = (
    SnippetMaker("android", kotlin_onnxruntime),
    SnippetMaker("", python_onnxruntime),
)
