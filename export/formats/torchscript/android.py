"""The PyTorch lite interpreter in the Gradle module of ``android_assets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from export.formats.facts import AndroidRuntime

ARTIFACT: Final = "org.pytorch:pytorch_android_lite"
THREADS: Final = "num_threads"  # a session option


def _template_values(sessions: Sequence[Mapping[str, str | int]]) -> Mapping[str, str | None]:
    return {}


ANDROID: Final = AndroidRuntime(
    title="PyTorch lite",
    switch="withPyTorch",
    artifact=ARTIFACT,
    key="pytorch_lite",
    newest="",  # it is no longer developed
    note="",
    threads=THREADS,
    class_suffix="Lite",
    kept_classes=("org.pytorch.**", "com.facebook.jni.**"),
    source_set="pytorch",
    test_source_set="androidTestPytorch",
    templates=Path(__file__).parent / "templates" / "android",
    template_values=_template_values,
)
