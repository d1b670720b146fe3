"""Fixtures: tiny networks and images, no downloads, one set of converted artifacts per session."""

from __future__ import annotations

import gc
import multiprocessing.util
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from pipeline.checkpoint import write_checkpoint
from pipeline.model_spec import ModelSpec
from pipeline.models.networks import build_network
from pipeline.resize.notation import resize_by

SIDE = 64
LABELS = ("covid19", "non_covid19")
pytest_plugins = ["tests.tiers"]


def pytest_collection_finish() -> None:
    """Garbage is not looked for in what was imported, which stays: 8 % of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Temporary files go where pytest cleans up: converters leave theirs until the interpreter
    exits, and a worker is killed."""
    place = str(tmp_path_factory.mktemp("scratch"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TMPDIR", place)
        patch.setattr(tempfile, "tempdir", place)
        yield
        # A file that was passed to another process leaves a socket there until the end.
        multiprocessing.util._run_finalizers()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run that its workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def make_spec(**changes: object) -> ModelSpec:
    """A two-class spec of a small SqueezeNet; std differs by channel so that a mix-up shows."""
    values: dict[str, object] = {
        "name": "tiny",
        "version": "1.2.3",
        "architecture": "squeezenet1_1",
        "labels": LABELS,
        "positive": "covid19",
        "threshold": 0.4,
        "resize": resize_by("squish", changes.pop("side", SIDE)),
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "metrics": {"auroc": {"value": 0.9, "low": 0.8, "high": 0.95}},
        "intended_use": "Research only. Not a medical device; never use it for diagnosis.",
    }
    return ModelSpec(**{**values, **changes})  # type: ignore[arg-type]


def write_network(folder: Path, spec: ModelSpec, seed: int = 0) -> Path:
    """A checkpoint of a freshly initialised network; tests/export has one whose outputs vary."""
    torch.manual_seed(seed)
    network = build_network(spec.architecture, len(spec.labels))
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, spec, network.state_dict())
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny checkpoint."""
    return write_network(tmp_path_factory.mktemp("checkpoint") / "tiny", make_spec())


def write_images(root: Path, label: str, count: int, seed: int = 0) -> None:
    """`count` small grey JPEG files in ``root/label/``, darker for the label covid19."""
    drawn_by = [len(label)] if label in LABELS else list(label.encode())  # each label others
    rng = np.random.default_rng([seed, *drawn_by])
    folder = root / label
    folder.mkdir(parents=True, exist_ok=True)
    top = 120 if label == "covid19" else 255
    for i in range(count):
        pixels = rng.integers(0, top, (40, 48), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{label}-{i:03}.jpg", quality=90)


def write_folder(root: Path) -> Path:
    """A data set as a folder: train and valid, two labels."""
    for split, count, seed in (("train", 12, 1), ("valid", 6, 2)):
        for label in LABELS:
            write_images(root / split, label, count, seed)
    return root


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """A data set that a test may change."""
    return write_folder(tmp_path / "xrays")


def wait_until_ended(processes: Sequence[psutil.Process]) -> None:
    """Of a dead parent, perhaps in a container where nobody takes their exit codes.

    A test that hangs is ended from outside.
    """
    while any(map(_runs, processes)):
        time.sleep(0.1)


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
