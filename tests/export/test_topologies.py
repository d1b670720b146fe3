"""Topologies in every format: each converts, is proven, and a fault in it is found.

Residual and dense blocks with batch norms are tested in small networks; a library's own network of
each kind is for CI, all others for `python -m benchmarks topologies`. Faults are planted in what a
file is compared with, so it is read once.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torchvision.models.densenet import DenseNet
from torchvision.models.resnet import Bottleneck, ResNet

from benchmarks.drawn_network import calibrate, drawn_network
from benchmarks.faults.bench import with_graph
from export.deploy.batch_norm_folding import with_network
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.half_weights import halved_graph
from export.deploy.layer_order import network_holding, network_layers
from export.deploy.layers import Layer
from export.deploy.metadata import model_metadata
from export.deploy.outputs import evidence_diff
from export.formats.base import verbs_of
from export.formats.coreml.evaluator.evaluate import load_program
from export.formats.register import FORMATS
from export.formats.torchscript.lite_file.safe_unpickler import read_pickle
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.check import check_artifact
from export.parity.reference import Reference
from export.parity.weights import weight_violations
from pipeline.models.networks import Network
from tests.conftest import make_spec
from tests.export.conftest import PLAIN

pytestmark = pytest.mark.slow("converts small networks of other blocks")

IDENTITY = "ab" * 32
SIDE = 64
each_artifact = pytest.mark.parametrize(("name", "precision"), PLAIN)


def residual() -> Network:
    """Two stages of bottlenecks; the first block's shortcut has its third convolution's shape."""
    whole = ResNet(Bottleneck, [2, 1, 0, 0])
    layers = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")
    return Network(nn.Sequential(*[getattr(whole, layer) for layer in layers]), 512, 2)


def dense() -> Network:
    """Two dense blocks and a transition: batch norms behind convolutions and before ReLUs."""
    whole = DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=16, bn_size=2)
    return Network(nn.Sequential(whole.features, nn.ReLU(inplace=True)), 32, 2)


SMALL: dict[str, Callable[[], Network]] = {"residual": residual, "dense": dense}
each_small = pytest.mark.parametrize("small", SMALL)


@cache
def reference(architecture: str) -> Reference:
    """Of an architecture or of a small network, with outputs that vary."""
    spec = make_spec(name="drawn", side=SIDE)
    if architecture in SMALL:
        torch.manual_seed(0)
        network: nn.Module = calibrate(SMALL[architecture](), spec)
    else:
        spec = make_spec(name="drawn", side=SIDE, architecture=architecture)
        network = drawn_network(spec)
    graph = DeployGraph(network, spec).eval()
    hard = stress_images(SIDE)
    pixels = np.stack(list(hard.values()))
    images = ParityImages(tuple(hard), ("hard",) * len(hard), pixels, "hard images")
    answers = reference_answers(graph, pixels)
    assert answers.probs[:, 0].std() > 0.1
    return Reference(spec, IDENTITY, graph, images, answers)


def held_for(architecture: str, precision: str) -> Reference:
    """What a file of this precision is compared with."""
    held = reference(architecture)
    return with_graph(held, halved_graph(held.graph)) if precision == "fp16" else held


def convert(held: Reference, name: str, precision: str, folder: Path) -> Path:
    path = folder / f"{held.spec.name}_{precision}{FORMATS[name].suffix}"
    metadata = model_metadata(held.spec, IDENTITY)
    verbs_of(name).convert(held.graph, held.spec, metadata, precision, path)
    return path


# --- faults -----------------------------------------------------------------------------------


def moved_mean(network: nn.Module) -> None:
    norms(network)[len(norms(network)) // 2].running_mean[1] += 0.01


def other_epsilon(network: nn.Module) -> None:
    norms(network)[-1].eps *= 100  # between defaults of frameworks


def larger_variance(network: nn.Module) -> None:
    norms(network)[0].running_var[0] *= 1.1


def swapped_equal_layers(network: nn.Module) -> None:
    """Swap the weights of the first two convolutions of one shape."""
    seen: dict[torch.Size, nn.Conv2d] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if module.weight.shape in seen:
                other = seen[module.weight.shape]
                module.weight, other.weight = other.weight, module.weight
                return
            seen[module.weight.shape] = module
    raise AssertionError("no two convolutions of one shape")


FAULTS = (moved_mean, other_epsilon, larger_variance, swapped_equal_layers)


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def faulty_layers(
    architecture: str, precision: str, fault: Callable[[nn.Module], None]
) -> list[Layer]:
    """The layers of the network with a fault in it."""
    graph = copy.deepcopy(reference(architecture).graph)
    with torch.no_grad():
        fault(graph.pixels.network)
    graph = halved_graph(graph) if precision == "fp16" else graph
    return network_layers(graph.pixels, SIDE)


def assert_faults_are_found(name: str, path: Path, planted: dict[str, list[Layer]]) -> None:
    stored = [layer for layer in verbs_of(name).stored_layers(path) if layer.kind != "normalise"]
    for fault, layers in planted.items():
        assert weight_violations(stored, layers), f"{path.name} {fault}"


# --- small ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], Path]:
    """``made(small, format, precision)``: the file of a small network, converted once."""
    folder = tmp_path_factory.mktemp("made")

    @cache
    def converted(small: str, name: str, precision: str) -> Path:
        (folder / small).mkdir(exist_ok=True)
        return convert(held_for(small, precision), name, precision, folder / small)

    return converted


@each_small
@each_artifact
def test_blocks_of_the_topologies_are_proven_and_faults_in_them_are_found(
    name: str, precision: str, small: str, made: Callable[[str, str, str], Path]
) -> None:
    held, path = held_for(small, precision), made(small, name, precision)
    found = check_artifact(name, precision, path, held)
    assert found.status == "pass", found.reason
    assert set(found.parts) >= {"contract", "weights", "outputs"}
    planted = {fault.__name__: faulty_layers(small, precision, fault) for fault in FAULTS}
    assert_faults_are_found(name, path, planted)


def test_a_file_with_a_fault_in_a_block_fails_by_its_weights(tmp_path: Path) -> None:
    """The other way round: the fault is in the file, and the whole check judges."""
    held = reference("dense")
    graph = copy.deepcopy(held.graph)
    with torch.no_grad():
        moved_mean(graph.pixels.network)
    path = convert(replace(held, graph=graph), "onnx", "fp32", tmp_path)
    found = check_artifact("onnx", "fp32", path, held)
    assert found.status == "fail"
    assert "are not the checkpoint's" in found.parts["weights"]


def test_pytorch_can_hold_what_a_lite_file_has_in_place_of_batch_norms(
    made: Callable[[str, str, str], Path],
) -> None:
    """Scales and shifts, of a dense network."""
    held = reference("dense")
    path = made("dense", "torchscript", "fp32")
    layers = verbs_of("torchscript").stored_layers(path)
    assert Counter(layer.kind for layer in layers)["scale"] == 6
    network = network_holding(held.graph.pixels.network, layers, SIDE)
    found = reference_answers(with_network(held.graph, network), held.images.pixels)
    assert np.abs(found.probs - held.probs).max() <= 1e-5
    assert found.evidence is not None
    assert held.answers.evidence is not None
    assert evidence_diff(found.evidence, held.answers.evidence).max() <= 1e-5


@each_small
def test_no_file_has_a_batch_norm_that_could_be_folded(
    small: str, made: Callable[[str, str, str], Path]
) -> None:
    """The dense network keeps 6: of 4 layers, the transition's, the last; the lite files none."""
    left = 6 if small == "dense" else 0
    model = onnx.load(made(small, "onnx", "fp32"))
    assert Counter(n.op_type for n in model.graph.node)["BatchNormalization"] == left
    program = load_program(made(small, "coreml", "fp16"))
    assert Counter(step.operation for step in program.steps)["batch_norm"] == left
    for precision in ("fp32", "fp16"):
        path = made(small, "torchscript", precision)
        assert "batch_norm" not in str(verbs_of("torchscript").describe(path).requires)
        assert read_pickle(torch._C.PyTorchFileReader(str(path)), "bytecode.pkl", "x")


# --- of libraries -----------------------------------------------------------------------------

# Residual; depthwise, squeeze-and-excitation, hard-swish; concatenation and channel shuffle; layer
# norms and layer scales.
KINDS = (
    "resnet18",
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "timm/convnext_atto",
)


@pytest.mark.ci("converts a network of each kind to every format")
@pytest.mark.parametrize("architecture", KINDS)
def test_a_topology_is_proven_in_every_format_and_faults_in_it_are_found(
    architecture: str, tmp_path: Path
) -> None:
    faults = FAULTS if norms(reference(architecture).graph) else (swapped_equal_layers,)
    for precision in dict.fromkeys(precision for _, precision in PLAIN):
        held = held_for(architecture, precision)
        planted = {f.__name__: faulty_layers(architecture, precision, f) for f in faults}
        for name in [name for name, other in PLAIN if other == precision]:
            path = convert(held, name, precision, tmp_path)
            found = check_artifact(name, precision, path, held)
            assert found.status == "pass", f"{name} {precision}: {found.reason}"
            assert_faults_are_found(name, path, planted)
    reference.cache_clear()
