"""When a file fails: is it the file, or a network that amplifies rounding?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import drawn_network
from benchmarks.faults.bench import convert
from benchmarks.faults.planted.graph import computing, moved, seen
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.layer_order import network_layers
from export.formats.base import verbs_of
from export.formats.facts import Precision, Tolerance
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.check import check_artifact
from export.parity.reference import Reference
from export.parity.rounding_amplification import RoundingAmplification, rounding_amplification
from tests.conftest import make_spec
from tests.export.conftest import ARTIFACTS, Artifacts, Model

TIGHT = Tolerance(1e-9, 0.0, "tighter than rounding, so that the clean file fails", 1e-9)
NOTHING = Tolerance(-1.0, 0.0, "nothing is as close as that", -1.0)
HALVES = ("onnx", "torchscript", "coreml")
SENTENCE = "the network amplifies rounding, the file does not"


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in HALVES:
        monkeypatch.setitem(FORMATS[name].precisions, "fp16", Precision("fp32", TIGHT))


@pytest.mark.parametrize("name", HALVES)
def test_weights_of_an_fp32_file_move_pytorch_by_nothing(
    name: str, model: Model, artifacts: Artifacts
) -> None:
    layers = verbs_of(name).stored_layers(artifacts[name, "fp32"])
    few = (model.images.names[7], model.images.names[3])
    for names in (model.images.names, few):
        assert rounding_amplification(layers, model.held, names) == RoundingAmplification(0.0, 0.0)


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_weights_of_an_fp16_file_move_pytorch_as_far_as_the_file_is_off(
    name: str, model: Model, artifacts: Artifacts
) -> None:
    path = artifacts[name, "fp16"]
    own = rounding_amplification(verbs_of(name).stored_layers(path), model.held, model.images.names)
    found = check_artifact(name, "fp16", path, model.held)
    assert found.max_abs_diff is not None
    assert found.evidence is not None
    assert own.max_abs_diff == pytest.approx(found.max_abs_diff, abs=1e-5)
    assert own.max_rel_diff == pytest.approx(found.evidence.max_rel_diff, abs=1e-5)
    assert own.max_abs_diff > 1e-5


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_a_clean_file_that_fails_by_rounding_is_distinguished_from_a_faulty_one(
    name: str, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    clean = check_artifact(name, "fp16", artifacts[name, "fp16"], model.held)
    assert clean.status == "fail"
    assert SENTENCE in clean.reason
    swapped = computing(seen(lambda evidence: evidence.flip(1)))(model.held)
    path = convert((name, "fp16"), swapped, tmp_path)
    faulty = check_artifact(name, "fp16", path, model.held)
    assert faulty.parts["weights"] == "pass"
    assert faulty.status == "fail"
    assert SENTENCE not in faulty.reason


@pytest.mark.slow("converts every format")
@pytest.mark.parametrize(("name", "precision"), ARTIFACTS)
def test_a_failing_file_of_any_format_and_precision_gets_a_verdict(
    name: str,
    precision: str,
    model: Model,
    artifacts: Artifacts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """int8 and Core ML too, whose variants have more in them than layers."""
    facts = FORMATS[name].precisions[precision]
    monkeypatch.setitem(FORMATS[name].precisions, precision, replace(facts, tolerance=NOTHING))
    found = check_artifact(
        name, precision, artifacts[name, precision], model.held_for(name, precision)
    )
    assert found.status == "fail"
    if precision != "fp16":  # the file holds the very weights that PyTorch has
        assert SENTENCE not in found.reason


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (RoundingAmplification(0.9, 0.9), True),
        (RoundingAmplification(0.9, 0.0), False),  # evidence fails as well, and is not explained
        (RoundingAmplification(0.0, 0.9), False),
    ],
)
@pytest.mark.usefixtures("tight")
def test_each_part_that_fails_has_to_be_the_networks_own(
    own: RoundingAmplification,
    told: bool,
    model: Model,
    artifacts: Artifacts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("export.parity.check.rounding_amplification", lambda *_: own)
    found = check_artifact("onnx", "fp16", artifacts["onnx", "fp16"], model.held)
    assert {part for part, verdict in found.parts.items() if verdict != "pass"} == {
        "outputs",
        "evidence",
    }
    assert (SENTENCE in found.reason) is told


def test_where_evidence_alone_fails_it_alone_has_to_be_explained(
    model: Model, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence_alone = Tolerance(1.0, 1.0, "any probability", 1e-9)
    facts = Precision("fp32", evidence_alone)
    monkeypatch.setitem(FORMATS["onnx"].precisions, "fp16", facts)
    monkeypatch.setattr(
        "export.parity.check.rounding_amplification", lambda *_: RoundingAmplification(0.0, 0.9)
    )
    found = check_artifact("onnx", "fp16", artifacts["onnx", "fp16"], model.held)
    assert found.parts["outputs"] == "pass"
    assert SENTENCE in found.reason


def test_evidence_that_does_not_average_to_the_logits_is_no_rounding(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far PyTorch itself would be."""
    monkeypatch.setattr(
        "export.parity.check.rounding_amplification", lambda *_: RoundingAmplification(0.9, 0.9)
    )
    path = convert(("onnx", "fp16"), computing(seen(moved))(model.held), tmp_path)
    found = check_artifact("onnx", "fp16", path, model.held)
    assert "does not average to the logits" in found.reason
    assert SENTENCE not in found.reason


def moved_by_halves(branch_scale: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """How far PyTorch's evidence moves in a drawn ResNet-34 whose weights are rounded to fp16."""
    monkeypatch.setattr(drawn_network, "BRANCH_SCALE", branch_scale)
    spec = make_spec(architecture="resnet34", side=64)
    graph = DeployGraph(drawn_network.drawn_network(spec), spec).eval()
    hard = stress_images(spec.side)
    pixels = np.stack(list(hard.values()))
    images = ParityImages(tuple(hard), ("hard",) * len(hard), pixels, "hard images")
    held = Reference(spec, "", graph, images, reference_answers(graph, pixels))
    halves = [
        replace(layer, tensors={key: t.astype(np.float16) for key, t in layer.tensors.items()})
        for layer in network_layers(graph.pixels, spec.side)
    ]
    return rounding_amplification(halves, held, images.names).max_rel_diff


@pytest.mark.slow("converts every format")
def test_a_residual_network_enlarges_rounding_by_the_size_of_its_branches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = (moved_by_halves(scale, monkeypatch) for scale in (0.1, 1.0))
    assert small < 1e-2
    assert large > 3 * small
