"""Fixtures of the export tests: one checkpoint, each artifact converted once, one whole export."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import numpy as np
import pytest
import torch
from filelock import FileLock
from rich.console import Console
from torch import nn

from export.deploy.graph import DeployGraph, PixelGraph, build_graph, reference_answers
from export.deploy.metadata import model_metadata
from export.deploy.outputs import Answers
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.check import ParityResult, check_artifact
from export.parity.reference import Reference, References, build_references
from export.publish.reduced_build import operator_configs
from export.run import converter_imports
from export.run.convert import Conversion, artifact_name
from export.run.export_all import export_all
from export.run.export_request import ExportRequest
from pipeline.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from pipeline.compress.activation_quantization import calibrate
from pipeline.compress.gptq import weighted_layers
from pipeline.images import read_image
from pipeline.model_spec import Compression, ModelSpec
from pipeline.models.networks import build_network, load_network
from pipeline.quantization_grid import Grid, short_scale
from pipeline.resize.rule import Resize
from tests.conftest import LABELS, make_spec, write_images
from tests.tiers import reason_of

ARTIFACTS = [(name, precision) for name in FORMATS for precision in FORMATS[name].precisions]
# Made from the checkpoint itself, and from its compressed variants.
PLAIN = [a for a in ARTIFACTS if FORMATS[a[0]].precisions[a[1]].variant in ("fp32", "fp16")]
COMPRESSED = [artifact for artifact in ARTIFACTS if artifact not in PLAIN]
# The record of a compressed checkpoint; used where there are no validation images.
RECORD = {
    "images": 150,
    "auroc": 0.9,
    "parent_auroc": 0.9,
    "auroc_drop": {"value": 0.0, "low": -0.01, "high": 0.01},
    "recall": 0.8,
    "parent_recall": 0.8,
    "label_flips": 0,
    "lost": 0,
    "gained": 0,
    "mcnemar_p": 1.0,
    "mean_abs_diff": 0.01,
    "max_abs_diff": 0.1,
    "broken_limits": [],
}
Artifacts = Mapping[tuple[str, str], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use a whole export are slow, unless they have a mark of their own."""
    for item in items:
        if "exported" in getattr(item, "fixturenames", ()) and not reason_of(item):
            item.add_marker(pytest.mark.slow("exports every format first"))


class Converted(Artifacts):
    """(format, precision) -> file or folder, converted when a test first asks for it.

    The first worker converts it: the folder is shared, and an artifact appears in it whole.
    """

    def __init__(self, model: Model, folder: Path) -> None:
        self.model, self.folder = model, folder / model.identity
        self.folder.mkdir(parents=True, exist_ok=True)
        self.paths: dict[tuple[str, str], Path] = {}

    def __getitem__(self, artifact: tuple[str, str]) -> Path:
        if artifact not in self.paths:
            path = self.folder / artifact_name(self.model.spec.name, *artifact)
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    with TemporaryDirectory(dir=self.folder) as unfinished:
                        convert(self.model, *artifact, Path(unfinished)).rename(path)
            self.paths[artifact] = path
        return self.paths[artifact]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(ARTIFACTS)

    def __len__(self) -> int:
        return len(ARTIFACTS)


@dataclass(frozen=True)
class Model:
    """A checkpoint and everything that a check compares an artifact with."""

    checkpoint: Checkpoint
    graph: DeployGraph
    images: ParityImages
    answers: Answers

    @property
    def folder(self) -> Path:
        return self.checkpoint.folder

    @property
    def spec(self) -> ModelSpec:
        return self.checkpoint.spec

    @property
    def identity(self) -> str:
        return self.checkpoint.sha256

    @property
    def reference(self) -> np.ndarray:
        """PyTorch's probabilities in fp32."""
        return self.answers.probs

    @cached_property
    def references(self) -> References:
        return References(self.checkpoint, self.images, {"fp32": self.answers})

    @property
    def held(self) -> Reference:
        return self.references.of("fp32")

    def held_for(self, name: str, precision: str) -> Reference:
        """What an artifact of this format and precision is compared with."""
        return self.references.of(FORMATS[name].precisions[precision].variant)

    @property
    def metadata(self) -> dict[str, str]:
        return model_metadata(self.spec, self.identity)


@dataclass
class StandIn:
    """`convert_all` with artifacts at hand.

    Attributes:
        asked: what was asked for, in order.
        errors: name a format here and its conversions fail with this.
    """

    artifacts: Artifacts
    asked: list[tuple[str, str]] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def convert_all(
        self,
        checkpoint: Checkpoint,
        wanted: Mapping[str, tuple[str, ...]],
        folder: Path,
        jobs: int,
        references: Future[References],
    ) -> Iterator[Conversion]:
        now = [(name, precision) for name in wanted for precision in wanted[name]]
        self.asked += now
        references.result()
        for name, precision in reversed(now):  # as they are finished, not as they are registered
            path = self.artifacts[name, precision]
            done = Conversion(name, precision, path, 0.1, verbs_of(name).describe(path))
            if name in self.errors:
                done = replace(done, description=None, error=self.errors[name])
            yield done


@dataclass(frozen=True)
class Exported:
    """What `export_all` left behind."""

    code: int
    output: str
    root: Path
    build: Path


def write_sensitive_network(folder: Path, spec: ModelSpec, seed: int = 0) -> Path:
    """A checkpoint of a random network whose logits spread by 2 around 0 over the hard images.

    Saturated answers (all 0 or 1) would hide every fault; so would one half for everything, and
    biases of zero, as fresh ones are.
    """
    torch.manual_seed(seed)
    network = build_network(spec.architecture, len(spec.labels)).eval()
    convolution = network.head[1]
    pixels = np.stack(list(stress_images(spec.side).values())).transpose(0, 3, 1, 2)
    bare = PixelGraph(network, spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.body.modules():
            if isinstance(module, nn.Conv2d):
                module.bias.normal_(std=0.1, generator=generator)
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


def write_variants(folder: Path, **levels: int) -> None:
    """Compress a checkpoint in the simplest way: to the nearest code, ranges of the hard images."""
    parent = open_checkpoint(folder)
    spec = parent.spec
    pixels = np.stack(list(stress_images(spec.side).values())).transpose(0, 3, 1, 2)
    bare = PixelGraph(load_network(parent), spec)
    images = (torch.from_numpy(pixels).float() - bare.mean) / bare.std
    for precision, most in (levels or {"int8": 127, "w4": 7, "w3": 3}).items():
        network = load_network(parent)
        grids = {}
        for name in weighted_layers(network):
            layer = network.get_submodule(name)
            few = layer.weight.numel() < 2000
            grid = nearest_grid(layer.weight.detach().numpy(), 127 if few else most)
            grids[f"{name}.weight"] = grid
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(grid.weights()))
                layer.bias.copy_(layer.bias.half().float())
        compression = Compression(
            precision=precision,
            parent_sha256=parent.sha256,
            levels={name: grid.levels for name, grid in grids.items()},
            activations=calibrate(network, [images]) if precision == "int8" else {},
            comparison=RECORD,
        )
        (folder / precision).mkdir()
        compressed = replace(spec, compression=compression)
        write_checkpoint(
            folder / precision,
            compressed,
            network.state_dict(),
            grids,
            parent.program_document(),
        )


def nearest_grid(weight: np.ndarray, levels: int) -> Grid:
    rows = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    scale = short_scale(np.maximum(rows, 1e-6) / levels)
    steps = scale.reshape(-1, *[1] * (weight.ndim - 1))
    codes = np.clip(np.round(weight / steps), -levels, levels)
    return Grid(codes.astype(np.int8), scale, levels)


def read_model(folder: Path) -> Model:
    checkpoint = open_checkpoint(folder)
    hard = stress_images(checkpoint.spec.side)
    pixels = np.stack(list(hard.values()))
    images = ParityImages(tuple(hard), ("hard",) * len(hard), pixels, f"{len(hard)} hard images")
    graph = build_graph(checkpoint)
    return Model(checkpoint, graph, images, reference_answers(graph, pixels))


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
        "precisions": (),
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


def convert(model: Model, name: str, precision: str, folder: Path) -> Path:
    held = model.held_for(name, precision)
    path = folder / artifact_name(model.spec.name, name, precision)
    metadata = model_metadata(held.spec, held.checkpoint_sha256)
    verbs_of(name).convert(held.graph, held.spec, metadata, precision, path)
    return path


@pytest.fixture(scope="session", autouse=True)
def warm_processes() -> Iterator[None]:
    """Processes that convert have all converters imported, whichever the first export needs."""
    every = [name for facts in FORMATS.values() for name in facts.requires]
    begin = converter_imports.begin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converter_imports, "begin", lambda _: begin(every))
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread here and in child processes: machines that run tests have few cores."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    write_sensitive_network(folder, make_spec())
    write_variants(folder)
    return folder


@pytest.fixture(scope="session")
def model(checkpoint: Path) -> Model:
    return read_model(checkpoint)


@pytest.fixture(scope="session")
def artifacts(model: Model, shared: Path) -> Artifacts:
    """Each artifact of the tiny checkpoint, converted once by the real converters."""
    return Converted(model, shared / "artifacts")


@pytest.fixture(scope="session")
def remembered() -> Callable[..., ParityResult]:
    """`check_artifact`, cached for the same file, reference and tolerance."""
    answers: dict[object, ParityResult] = {}

    def check(
        name: str,
        precision: str,
        path: Path,
        reference: Reference,
        needs_evidence: bool = True,
    ) -> ParityResult:
        files = tree(path) if path.is_dir() else {path.name: path.read_bytes()}
        digests = [(file, hashlib.sha256(content).digest()) for file, content in files.items()]
        held = (reference.checkpoint_sha256, np.asarray(reference.images.pixels).tobytes())
        allowed = (FORMATS[name].precisions[precision].tolerance, FORMATS[name].requires)
        key = (name, precision, tuple(digests), held, allowed, needs_evidence)
        if key not in answers:
            answers[key] = check_artifact(name, precision, path, reference, needs_evidence)
        return answers[key]

    return check


known_configs: dict[tuple[tuple[str, str], ...], dict[str, bytes]] = {}


def configs_once(models: Sequence[Path], optimised: Path) -> dict[str, bytes]:
    """`operator_configs`, cached for files of these names and contents, wherever they lie."""
    key = tuple((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in models)
    if key not in known_configs:
        known_configs[key] = operator_configs(models, optimised)
    return known_configs[key]


def put_in_place(
    stand_in: StandIn, check: Callable[..., ParityResult], patch: pytest.MonkeyPatch
) -> StandIn:
    patch.setattr("export.publish.reduced_build.operator_configs", configs_once)
    patch.setattr("export.run.export_all.convert_all", stand_in.convert_all)
    patch.setattr("export.run.export_all.check_artifact", check)
    return stand_in


@pytest.fixture
def converted(
    artifacts: Artifacts,
    remembered: Callable[..., ParityResult],
    monkeypatch: pytest.MonkeyPatch,
) -> StandIn:
    """Exports take the session's artifacts instead of converting; checks are remembered."""
    return put_in_place(StandIn(artifacts), remembered, monkeypatch)


@pytest.fixture
def checked_once(remembered: Callable[..., ParityResult], monkeypatch: pytest.MonkeyPatch) -> None:
    """A test damages one file of two dozen; the others are as they were checked before."""
    monkeypatch.setattr("export.run.check_published.check_artifact", remembered)
    monkeypatch.setattr("export.parity.reference.build_references", built_once)
    monkeypatch.setattr("export.run.beside.build_references", built_once)
    monkeypatch.setattr("export.golden.replay.read_image", read_once)
    monkeypatch.setattr("export.publish.reduced_build.operator_configs", configs_once)


@cache
def built_once(checkpoint: Checkpoint, data: Path | None, image_limit: int) -> References:
    return build_references(checkpoint, data, image_limit)


@cache
def read_content(content: bytes, rule: Resize) -> np.ndarray:
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return read_image(Path(file.name), rule)


def read_once(path: Path, rule: Resize) -> np.ndarray:
    """`read_image`, cached by what the file holds: golden images lie in every folder."""
    return read_content(path.read_bytes(), rule)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of few images, with the labels of the tiny model."""
    root = tmp_path_factory.mktemp("data") / "xrays"
    for split, count, seed in (("train", 4, 1), ("valid", 3, 2)):
        for label in LABELS:
            write_images(root / split, label, count, seed)
    return root


@pytest.fixture(scope="session")
def exported(model: Model, data: Path, shared: Path) -> Exported:
    """The tiny checkpoint, exported whole as a user does, by the first worker that needs it."""
    place = shared / f"exported-{model.identity}"
    assets, build, left = place / "assets", place / "build", place / "left.json"
    with FileLock(f"{place}.lock"):
        if not left.exists():
            done = run_export(request_export(model, data, assets, build))
            left.write_text(json.dumps({"code": done.code, "output": done.output}))
    return Exported(**json.loads(left.read_text()), root=assets, build=build)


@pytest.fixture
def assets(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the published folders, to be damaged."""
    return Path(shutil.copytree(exported.root, tmp_path / "assets"))
