"""A release whose model has a resize of its own: a small network, exported whole in fp32."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final

import pytest
from filelock import FileLock
from rich.console import Console

from export.run.export_all import export_all
from export.run.export_request import ExportRequest
from pipeline.resize.rule import Resize
from tests.conftest import make_spec
from tests.export.conftest import write_sensitive_network

# Every mode; squares, a large one too, and rectangles both ways.
RULES: Final = {
    "crop": Resize(48, 64, "crop"),
    "pad": Resize(80, 48, "pad", "reflection"),
    "centre": Resize(48, 64, "centre", "zeros"),
    "margin": Resize(64, 64, margin=16),
    "large": Resize(384, 384, "crop"),
}


def shared_release(name: str, factory: pytest.TempPathFactory) -> Path:
    """The root of the asset folders of one of `RULES`, made by the first test of a run that asks.

    The checkpoint lies beside it.
    """
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / f"release-{name}"
    with FileLock(f"{folder}.lock"):
        if not (folder / "assets").is_dir():
            _export(folder, RULES[name])
    return folder / "assets"


def _export(folder: Path, rule: Resize) -> None:
    spec = make_spec(name="framed", resize=rule)
    write_sensitive_network(folder / "checkpoint", spec)
    screen = io.StringIO()
    request = ExportRequest(
        checkpoint=folder / "checkpoint",
        data=None,
        formats=("onnx", "ort", "torchscript", "coreml"),
        precisions=("fp32",),
        root=folder / "assets",
        build=folder / "build",
        image_limit=10,
        jobs=1,
        latency=False,
        strict=False,
    )
    assert export_all(request, Console(file=screen, width=200)) == 0, screen.getvalue()
