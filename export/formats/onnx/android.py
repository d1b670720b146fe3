"""ONNX Runtime in the Gradle module of ``android_assets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from export.formats.facts import AndroidRuntime

# Newest release whose libraries are reported to support 16 KB pages, which Google Play requires
# (https://github.com/microsoft/onnxruntime-extensions/issues/1093). Never below what is promised.
NEWEST: Final = "1.27.0"
ARTIFACT: Final = "com.microsoft.onnxruntime:onnxruntime-android"
LEVEL: Final = "graph_optimization_level"  # a session option
THREADS: Final = "intra_op_num_threads"  # likewise
OPTIMISATION: Final = {
    "ORT_ENABLE_ALL": "ALL_OPT",
    "ORT_ENABLE_EXTENDED": "EXTENDED_OPT",
    "ORT_ENABLE_BASIC": "BASIC_OPT",
    "ORT_DISABLE_ALL": "NO_OPT",
}


def _template_values(sessions: Sequence[Mapping[str, str | int]]) -> Mapping[str, str | None]:
    """The optimisation level of the files, by its name in ONNX Runtime's Java API."""
    levels = {str(session[LEVEL]) for session in sessions if LEVEL in session}
    if levels - OPTIMISATION.keys() or len(levels) > 1:
        raise ValueError(f"optimisation {sorted(levels)} is not one of {', '.join(OPTIMISATION)}")
    return {"optimisation": OPTIMISATION[levels.pop()] if levels else None}


ANDROID: Final = AndroidRuntime(
    title="ONNX Runtime",
    switch="withOnnxRuntime",
    artifact=ARTIFACT,
    key="onnxruntime",
    newest=NEWEST,
    note="The files promise {promised} or newer. Libraries for pages of 16 KB, which Google\n"
    "Play asks for, came later.",
    threads=THREADS,
    class_suffix="",
    kept_classes=("ai.onnxruntime.**",),
    source_set="onnxruntime",
    test_source_set="androidTestOnnxruntime",
    templates=Path(__file__).parent / "templates" / "android",
    template_values=_template_values,
)
