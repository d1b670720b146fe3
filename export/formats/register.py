"""The register of formats, one line each. Importing it imports no converter.

Their order is that of every list, table and chart. The first is the reference for latency ratios
and the default of `python -m export robustness`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from export.formats.facts import AndroidRuntime, FormatFacts

FOLDERS: Final = (
    "export.formats.onnx",
    "export.formats.ort",
    "export.formats.torchscript",
    "export.formats.coreml",
)


def _facts(folder: str) -> FormatFacts:
    found = import_module(f"{folder}.facts").FACTS
    assert isinstance(found, FormatFacts)
    return found


FORMATS: Final[dict[str, FormatFacts]] = {
    facts.name: facts for facts in (_facts(folder) for folder in FOLDERS)
}


def all_precisions() -> tuple[str, ...]:
    """The precisions of all formats, each once."""
    return tuple(dict.fromkeys(p for facts in FORMATS.values() for p in facts.precisions))


def android_runtimes() -> tuple[AndroidRuntime, ...]:
    """The runtimes in the Gradle module, each once."""
    runtimes = (facts.android for facts in FORMATS.values())
    return tuple(dict.fromkeys(runtime for runtime in runtimes if runtime is not None))
