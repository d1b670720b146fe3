"""The register of formats: one readable literal. Importing it imports no converter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from export.formats import coreml_format, onnx_format, ort_format, torchscript_format
from export.formats.base import Format

FORMATS: Final[Mapping[str, Format]] = {
    "onnx": onnx_format,
    "ort": ort_format,
    "torchscript": torchscript_format,
    "coreml": coreml_format,
}
