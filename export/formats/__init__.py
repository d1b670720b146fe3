"""The register of formats: one readable literal. Importing it imports no converter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from export.formats.base import Format
from export.formats.coreml import format as coreml_format
from export.formats.onnx import format as onnx_format
from export.formats.ort import format as ort_format
from export.formats.torchscript import format as torchscript_format

FORMATS: Final[Mapping[str, Format]] = {
    "onnx": onnx_format,
    "ort": ort_format,
    "torchscript": torchscript_format,
    "coreml": coreml_format,
}
