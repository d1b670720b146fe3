"""The planted faults: a file that is wrong in one known way must fail, with a reason that says so.

Every cell is a real file, converted by the real converter from a graph, a checkpoint or metadata
with one fault, and then held against the true checkpoint.
"""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from export.deploy.graph import DeployGraph, Outputs, PixelGraph
from export.deploy.metadata import model_metadata
from export.formats import FORMATS
from export.parity.check import ParityResult, check_artifact
from tests.conftest import make_spec
from tests.export.conftest import (
    ARTIFACTS,
    PLAIN,
    Artifacts,
    Model,
    read_model,
    write_sensitive_network,
)

pytestmark = pytest.mark.slow


class ChannelsSwapped(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        return super().forward(pixels.flip(1))


class Mirrored(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        return super().forward(pixels.flip(3))


class Transposed(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        return super().forward(pixels.transpose(2, 3))


class NormalisationDropped(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        return self.answer(pixels)


class MeanAndStdDropped(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        return self.answer(pixels / 255)


class NormalisationDoubled(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        once = (pixels - self.mean) / self.std
        return self.answer((once - self.mean / 255) / (self.std / 255))


class OutputsSwapped(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        probs, evidence = super().forward(pixels)
        return probs.flip(1), evidence.flip(1)


class SoftmaxDoubled(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        probs, evidence = super().forward(pixels)
        return torch.softmax(probs, dim=1), evidence


class SoftmaxMissing(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        return self.network((pixels - self.mean) / self.std)


class EvidenceChanged(PixelGraph):
    """The right probabilities beside other evidence."""

    def forward(self, pixels: Tensor) -> Outputs:
        probs, evidence = super().forward(pixels)
        return probs, self.changed(evidence).contiguous()

    def changed(self, evidence: Tensor) -> Tensor:
        raise NotImplementedError


class EvidenceTransposed(EvidenceChanged):
    def changed(self, evidence: Tensor) -> Tensor:
        return evidence.transpose(2, 3)


class EvidenceOfSwappedClasses(EvidenceChanged):
    def changed(self, evidence: Tensor) -> Tensor:
        return evidence.flip(1)


class EvidenceMirrored(EvidenceChanged):
    def changed(self, evidence: Tensor) -> Tensor:
        return evidence.flip(3)


class EvidenceUpsideDown(EvidenceChanged):
    def changed(self, evidence: Tensor) -> Tensor:
        return evidence.flip(2)


class EvidenceMoved(EvidenceChanged):
    """By a hundredth of a logit: it does not average to the logits any more."""

    def changed(self, evidence: Tensor) -> Tensor:
        return evidence + torch.tensor([0.01, 0.0]).reshape(1, 2, 1, 1)


class EvidenceMissing(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        probs, _ = super().forward(pixels)
        return probs


# Core ML's evidence is what its mean takes, whatever the graph gives out; its own ways to be wrong
# are in the fault bench.
EVIDENCES = {
    "transposed": EvidenceTransposed,
    "of swapped classes": EvidenceOfSwappedClasses,
    "mirrored": EvidenceMirrored,
    "upside down": EvidenceUpsideDown,
    "not averaging to the logits": EvidenceMoved,
}

GRAPHS = {
    "colour channels swapped": ChannelsSwapped,
    "image mirrored": Mirrored,
    "image transposed": Transposed,
    "normalisation dropped": NormalisationDropped,
    "mean and std dropped": MeanAndStdDropped,
    "normalisation doubled": NormalisationDoubled,
    "outputs swapped, labels as they were": OutputsSwapped,
    "softmax doubled": SoftmaxDoubled,
    "softmax missing": SoftmaxMissing,
}


def faulty_graph(model: Model, kind: type[PixelGraph]) -> DeployGraph:
    network = copy.deepcopy(model.graph.pixels.network)
    graph = DeployGraph(network, model.spec)
    graph.pixels = kind(network, model.spec)
    return graph.eval()


def one_changed_weight(model: Model) -> DeployGraph:
    graph = copy.deepcopy(model.graph)
    with torch.no_grad():  # one of the 9 x 3 x 64 weights of the first layer
        graph.pixels.network.body[0].weight[20, 1, 1, 1] += 0.5
    return graph


def channels_swapped_in_the_weights(model: Model) -> DeployGraph:
    """Swapped without an operation more: only the numbers tell."""
    graph = copy.deepcopy(model.graph)
    with torch.no_grad():
        first = graph.pixels.network.body[0].weight
        first.copy_(first.flip(1))
    return graph


def outputs_swapped_in_the_weights(model: Model) -> DeployGraph:
    graph = copy.deepcopy(model.graph)
    with torch.no_grad():
        for tensor in graph.pixels.network.head[1].parameters():
            tensor.copy_(tensor.flip(0))
    return graph


def normalisation_of_another_recipe(model: Model) -> DeployGraph:
    graph = copy.deepcopy(model.graph)
    with torch.no_grad():
        graph.pixels.mean.fill_(127.5)
        graph.pixels.std.fill_(127.5)
    return graph


def a_weight_changed_by_a_thousandth(model: Model) -> DeployGraph:
    graph = copy.deepcopy(model.graph)
    with torch.no_grad():
        graph.pixels.network.body[0].weight[20, 1, 1, 1] *= 1.001
    return graph


NUMBERS = (
    channels_swapped_in_the_weights,
    outputs_swapped_in_the_weights,
    normalisation_of_another_recipe,
)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Another training of the same model: other weights, hence another identity."""
    folder = tmp_path_factory.mktemp("checkpoint") / "other"
    return read_model(write_sensitive_network(folder, make_spec(), seed=1))


def check(model: Model, name: str, path: Path, precision: str = "fp32") -> ParityResult:
    return check_artifact(name, precision, path, model.held_for(name, precision))


def convert(
    model: Model,
    name: str,
    folder: Path,
    *,
    graph: DeployGraph | None = None,
    metadata: dict[str, str] | None = None,
    precision: str = "fp32",
) -> Path:
    module = FORMATS[name]
    path = folder / f"tiny_{precision}{module.SUFFIX}"
    module.convert(graph or model.graph, model.spec, metadata or model.metadata, precision, path)
    return path


def assert_fails(result: ParityResult, *parts: str) -> None:
    assert result.status == "fail"
    for part in parts:
        assert re.search(part, result.reason), result.reason


def test_the_fixture_tells_its_two_checkpoints_apart(model: Model, other: Model) -> None:
    assert model.identity != other.identity
    assert np.abs(model.reference - other.reference).max() > 0.1


@pytest.mark.parametrize(("name", "precision"), ARTIFACTS)
def test_the_clean_artifact_passes_in_every_part(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    result = check(model, name, artifacts[name, precision], precision)
    assert set(result.parts) >= {"contract", "weights", "outputs", "evidence"}
    assert set(result.parts.values()) == {"pass"}
    assert (result.status, result.reason) == ("pass", "")
    assert result.images == len(model.images.names)
    assert result.label_flips == 0
    rounded = precision in ("fp16", "int8") or (name == "coreml" and precision != "fp32")
    assert result.max_abs_diff <= (5e-3 if rounded else 1e-5)


@pytest.mark.parametrize("fault", GRAPHS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_faulty_graph_fails(name: str, fault: str, model: Model, tmp_path: Path) -> None:
    path = convert(model, name, tmp_path, graph=faulty_graph(model, GRAPHS[fault]))
    reason = r"max \|Δp\| \S+ > 1e-04 on hard/"
    if name == "coreml":  # the evaluator may refuse what no topology of ours has
        reason += r"|operation \w+ is not known here"
    assert_fails(check(model, name, path), reason)


@pytest.mark.parametrize("fault", EVIDENCES)
@pytest.mark.parametrize("name", ["onnx", "ort", "torchscript"])
def test_wrong_evidence_fails_beside_the_right_probabilities(
    name: str, fault: str, model: Model, tmp_path: Path
) -> None:
    path = convert(model, name, tmp_path, graph=faulty_graph(model, EVIDENCES[fault]))
    result = check(model, name, path)
    assert result.parts["outputs"] == result.parts["weights"] == "pass"
    assert_fails(result, r"^evidence: differs by \S+ > 1e-04 of its largest value on hard/")
    averaged = "does not average to the logits" not in result.reason
    assert averaged == (fault not in ("of swapped classes", "not averaging to the logits"))


@pytest.mark.parametrize("name", FORMATS)
def test_missing_evidence_fails_in_what_the_file_says_and_in_what_it_gives(
    name: str, model: Model, tmp_path: Path
) -> None:
    path = convert(model, name, tmp_path, graph=faulty_graph(model, EvidenceMissing))
    result = check(model, name, path)
    assert result.parts["contract"] == "outputs ['probs'], expected probs and evidence"
    assert result.parts["evidence"] == "the file gives none, PyTorch does"
    assert result.parts["outputs"] == "pass"
    assert result.status == "fail"


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_softmax_is_told_from_other_faults(
    name: str, model: Model, tmp_path: Path
) -> None:
    path = convert(model, name, tmp_path, graph=faulty_graph(model, SoftmaxMissing))
    assert_fails(check(model, name, path), "probabilities sum to 1 only within")


@pytest.mark.parametrize("name", FORMATS)
def test_swapped_outputs_show_as_flipped_labels(name: str, model: Model, tmp_path: Path) -> None:
    path = convert(model, name, tmp_path, graph=faulty_graph(model, OutputsSwapped))
    assert_fails(check(model, name, path), "labels flipped|operation reverse is not known here")


@pytest.mark.parametrize("name", FORMATS)
def test_one_changed_weight_fails(name: str, model: Model, tmp_path: Path) -> None:
    path = convert(model, name, tmp_path, graph=one_changed_weight(model))
    assert_fails(check(model, name, path), r"max \|Δp\|")


@pytest.mark.parametrize("fault", NUMBERS)
@pytest.mark.parametrize("name", FORMATS)
def test_the_right_operations_with_the_wrong_numbers_fail(
    name: str, fault: Callable[[Model], DeployGraph], model: Model, tmp_path: Path
) -> None:
    path = convert(model, name, tmp_path, graph=fault(model))
    assert_fails(check(model, name, path), r"max \|Δp\| \S+ > 1e-04 on hard/")


# The lite converter takes the normalisation of an fp16 file from the spec, not from the graph.
HALF_CELLS = [
    (name, fault)
    for name, precision in PLAIN
    if precision == "fp16"
    for fault in (*NUMBERS, one_changed_weight)
    if (name, fault) != ("torchscript", normalisation_of_another_recipe)
]


@pytest.mark.parametrize(("name", "fault"), HALF_CELLS)
def test_wrong_numbers_fail_in_fp16_too(
    name: str, fault: Callable[[Model], DeployGraph], model: Model, tmp_path: Path
) -> None:
    path = convert(model, name, tmp_path, graph=fault(model), precision="fp16")
    assert_fails(check(model, name, path, "fp16"), r"max \|Δp\| \S+ > 5e-03 on hard/")


@pytest.mark.parametrize(("name", "precision"), PLAIN)
def test_a_weight_changed_by_too_little_for_the_outputs_fails_by_its_value(
    name: str, precision: str, model: Model, tmp_path: Path
) -> None:
    graph = a_weight_changed_by_a_thousandth(model)
    path = convert(model, name, tmp_path, graph=graph, precision=precision)
    result = check(model, name, path, precision)
    assert result.parts["outputs"] == "pass"
    assert_fails(result, "weights: .*1 of 1728 values are not the checkpoint's")


@pytest.mark.parametrize("name", FORMATS)
def test_other_weights_under_this_checkpoints_identity_fail(
    name: str, model: Model, other: Model, tmp_path: Path
) -> None:
    path = convert(model, name, tmp_path, graph=other.graph)
    assert_fails(check(model, name, path), r"max \|Δp\|")


@pytest.mark.parametrize("name", FORMATS)
def test_the_file_of_another_checkpoint_fails(
    name: str, model: Model, other: Model, tmp_path: Path
) -> None:
    path = convert(other, name, tmp_path)
    assert_fails(check(model, name, path), "checkpoint_sha256 in the file")


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_weights_under_another_checkpoints_identity_fail(
    name: str, model: Model, other: Model, tmp_path: Path
) -> None:
    """Equal in every probability, and yet of a checkpoint with another threshold, say."""
    path = convert(model, name, tmp_path, metadata=model_metadata(model.spec, other.identity))
    assert_fails(check(model, name, path), "checkpoint_sha256 in the file")


@pytest.mark.parametrize("name", FORMATS)
def test_labels_swapped_in_the_metadata_fail(name: str, model: Model, tmp_path: Path) -> None:
    swapped = replace(model.spec, labels=model.spec.labels[::-1])
    path = convert(model, name, tmp_path, metadata=model_metadata(swapped, model.identity))
    assert_fails(check(model, name, path), "labels in the file")


def test_labels_swapped_in_the_classifier_of_core_ml_fail(model: Model, tmp_path: Path) -> None:
    swapped = replace(model.spec, labels=model.spec.labels[::-1])
    path = tmp_path / "tiny_fp32.mlpackage"
    FORMATS["coreml"].convert(model.graph, swapped, model.metadata, "fp32", path)
    assert_fails(check(model, "coreml", path), "labels in the file")


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_the_end_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def a_text_file(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 2918939\n")


def removed(path: Path) -> None:
    path.unlink()


SINGLE_FILES = tuple(name for name in FORMATS if FORMATS[name].SUFFIX != ".mlpackage")
DAMAGE = (cut_in_half, cut_the_end_off, emptied, a_text_file, removed)


def copied(artifact: Path, folder: Path) -> Path:
    copy_of = shutil.copytree if artifact.is_dir() else shutil.copy
    return Path(copy_of(artifact, folder / artifact.name))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", SINGLE_FILES)
def test_a_damaged_file_fails(
    name: str, damage: Callable[[Path], None], model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    path = copied(artifacts[name, "fp32"], tmp_path)
    damage(path)
    assert_fails(check(model, name, path), re.escape(path.name))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", ["Manifest.json", "model.mlmodel", "weight.bin"])
def test_a_damaged_core_ml_package_fails(
    file: str, damage: Callable[[Path], None], model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    package = copied(artifacts["coreml", "fp32"], tmp_path)
    (part,) = package.rglob(file)
    damage(part)
    assert_fails(check(model, "coreml", package), re.escape(package.name))


def test_a_core_ml_package_that_takes_bgr_fails(
    model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    from coremltools.proto import FeatureTypes_pb2, Model_pb2

    package = copied(artifacts["coreml", "fp32"], tmp_path)
    (file,) = package.rglob("model.mlmodel")
    document = Model_pb2.Model()
    document.ParseFromString(file.read_bytes())
    image = document.description.input[0].type.imageType
    image.colorSpace = FeatureTypes_pb2.ImageFeatureType.BGR
    file.write_bytes(document.SerializeToString())
    assert_fails(check(model, "coreml", package), "input is image BGR")


def test_a_text_file_in_place_of_a_core_ml_package_fails(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "tiny_fp32.mlpackage"
    a_text_file(path)
    assert_fails(check(model, "coreml", path), path.name)


@pytest.mark.parametrize("name", SINGLE_FILES)
def test_a_file_of_another_format_under_the_artifacts_name_fails(
    name: str, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    another = {"onnx": "ort", "ort": "torchscript", "torchscript": "onnx"}[name]
    path = tmp_path / f"tiny_fp32{FORMATS[name].SUFFIX}"
    shutil.copy(artifacts[another, "fp32"], path)
    assert_fails(check(model, name, path))
