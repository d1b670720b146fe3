"""Fixtures of the export tests: one checkpoint, each artifact converted once, one whole export."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from export.formats import FORMATS
from export.graph import DeployGraph, PixelGraph, build_graph, reference_probs
from export.hard_images import hard_images
from export.metadata import model_metadata
from export.parity_images import ParityImages
from export.reference import Reference
from export.run import ExportRequest, export_all
from pipeline.checkpoint import ModelSpec, checkpoint_sha256, read_spec, write_checkpoint
from pipeline.networks import build_network
from tests.conftest import LABELS, make_spec, write_images

ARTIFACTS = [(name, precision) for name in FORMATS for precision in FORMATS[name].TOLERANCES]
Artifacts = Mapping[tuple[str, str], Path]


@dataclass(frozen=True)
class Model:
    """A checkpoint and all that a check holds an artifact against."""

    folder: Path
    spec: ModelSpec
    identity: str
    graph: DeployGraph
    images: ParityImages
    reference: np.ndarray

    @cached_property
    def held(self) -> Reference:
        return Reference(self.spec, self.identity, self.graph, self.images, self.reference)

    @property
    def metadata(self) -> dict[str, str]:
        return model_metadata(self.spec, self.identity)


@dataclass(frozen=True)
class Exported:
    """What `export_all` left behind."""

    code: int
    output: str
    root: Path
    build: Path


def write_sensitive_network(folder: Path, spec: ModelSpec, seed: int = 0) -> Path:
    """A checkpoint of a random network whose logits spread by 2 around 0 over the hard images.

    Saturated answers (all 0 or 1) would hide every fault; so would one half for everything.
    """
    torch.manual_seed(seed)
    network = build_network(spec.architecture, len(spec.labels)).eval()
    convolution = network.head[1]
    pixels = np.stack(list(hard_images(spec.side).values())).transpose(0, 3, 1, 2)
    bare = PixelGraph(network, spec)
    with torch.no_grad():
        convolution.weight.normal_()
        convolution.bias.zero_()
        x = (torch.from_numpy(pixels).float() - bare.mean) / bare.std
        logits = network(x)
        scale = 2 / logits.std(dim=0)
        convolution.weight *= scale[:, None, None, None]
        convolution.bias.copy_(-logits.median(dim=0).values * scale)
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, spec, network.state_dict())
    return folder


def read_model(folder: Path) -> Model:
    spec, identity = read_spec(folder), checkpoint_sha256(folder)
    hard = hard_images(spec.side)
    pixels = np.stack(list(hard.values()))
    images = ParityImages(tuple(hard), ("hard",) * len(hard), pixels, f"{len(hard)} hard images")
    graph = build_graph(folder, spec)
    return Model(folder, spec, identity, graph, images, reference_probs(graph, pixels))


def tree(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of all files below `folder`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def request_export(model: Model, data: Path, root: Path, build: Path, **changes: object) -> object:
    values = {
        "checkpoint": model.folder,
        "data": data,
        "formats": tuple(FORMATS),
        "root": root,
        "build": build,
        "image_limit": 100,
        "jobs": 2,
        "latency": False,
        "strict": False,
    }
    return ExportRequest(**{**values, **changes})


def run_export(request: ExportRequest) -> Exported:
    screen = io.StringIO()
    code = export_all(request, Console(file=screen, width=200))
    return Exported(code, screen.getvalue(), request.root, request.build)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread here and in the processes started from here: cores are few where tests run."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sensitive_network(tmp_path_factory.mktemp("checkpoint") / "tiny", make_spec())


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> Model:
    return read_model(checkpoint)


@pytest.fixture(scope="session")
def artifacts(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """(format, precision) -> file or folder, converted in this process by the real converters."""
    folder = tmp_path_factory.mktemp("artifacts")
    paths = {}
    for name, precision in ARTIFACTS:
        path = folder / f"{model.spec.name}_{precision}{FORMATS[name].SUFFIX}"
        FORMATS[name].convert(model.graph, model.spec, model.metadata, precision, path)
        paths[name, precision] = path
    return paths


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of few images, with the labels of the tiny model."""
    root = tmp_path_factory.mktemp("data") / "xrays"
    for split, count, seed in (("train", 4, 1), ("valid", 3, 2)):
        for label in LABELS:
            write_images(root / split, label, count, seed)
    return root


@pytest.fixture(scope="session")
def exported(model: Model, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The tiny checkpoint, exported whole as a user does."""
    place = tmp_path_factory.mktemp("exported")
    return run_export(request_export(model, data, place / "assets", place / "build"))


@pytest.fixture
def assets(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the published folders, to be damaged."""
    return Path(shutil.copytree(exported.root, tmp_path / "assets"))
