"""How far PyTorch's own outputs move by rounding: so far a right file may be off."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import drawn_network
from benchmarks.faults.bench import convert, few_images, replaced_network, with_graph
from benchmarks.faults.planted import structure
from benchmarks.faults.planted.graph import computing, moved, seen
from benchmarks.faults.planted.structure import in_structure
from export.deploy.batch_norm_folding import with_network
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.half_weights import halved_graph
from export.deploy.outputs import Answers, evidence_diff
from export.formats.facts import Arithmetic, Tolerance
from export.formats.register import FORMATS
from export.parity.allowance import MOST
from export.parity.check import check_artifact
from export.parity.reference import Reference
from export.parity.rounding_noise import RoundingNoise, rounding_noise
from tests.conftest import make_spec
from tests.export.conftest import ARTIFACTS, Artifacts, Model

TIGHT = Tolerance(1e-9, 0.0, "tighter than rounding, so that only rounding explains a file", 1e-9)
ALL_ROWS = range(13)


def tighten(monkeypatch: pytest.MonkeyPatch, name: str, precision: str) -> None:
    facts = FORMATS[name].precisions[precision]
    monkeypatch.setitem(FORMATS[name].precisions, precision, replace(facts, tolerance=TIGHT))


def enlarging(reference: Reference, by: float) -> Reference:
    """The same network with `by` added to all features, which the last layer subtracts again."""
    network = copy.deepcopy(reference.graph.pixels.network)
    last, head = network.body[-1], network.head[1]
    with torch.no_grad():
        for layer in (last.expand1x1, last.expand3x3):
            layer.bias += by
        head.bias -= by * head.weight.sum(dim=(1, 2, 3))
    return with_graph(reference, with_network(reference.graph, network))


# --- the noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arithmetic", ["fp32", "fp16"])
def test_the_noise_is_of_the_size_of_the_last_bit(arithmetic: Arithmetic, model: Model) -> None:
    found = rounding_noise(model.held, arithmetic, ALL_ROWS)
    bit = {"fp32": 2.0**-22, "fp16": 2.0**-11}[arithmetic]
    assert found.probs.shape == found.evidence.shape == (13,)
    assert bit / 10 < found.evidence.max() < 100 * bit
    assert 0 < found.probs.max() < 100 * bit


def test_the_noise_of_a_few_images_is_theirs_in_their_order(model: Model) -> None:
    several = rounding_noise(model.held, "fp16", [7, 3])
    single = rounding_noise(model.held, "fp16", [3])
    assert single.evidence[0] == several.evidence[1] != several.evidence[0]


def test_files_that_are_compared_with_one_network_share_its_noise(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, drawn = replace(model.held), []

    def counted(graph: DeployGraph, pixels: np.ndarray) -> Answers:
        drawn.append(len(pixels))
        return reference_answers(graph, pixels)

    monkeypatch.setattr("export.parity.rounding_noise.reference_answers", counted)
    few = rounding_noise(held, "fp16", [2, 1], draws=2)
    again = rounding_noise(held, "fp16", [1, 2], draws=3)
    assert drawn == [2, 2, 2]
    assert (again.probs >= few.probs[::-1]).all()
    rounding_noise(held, "fp32", [1, 2], draws=1)
    rounding_noise(replace(held), "fp32", [1, 2], draws=1)
    assert drawn == [2] * 5


def test_the_same_noise_is_drawn_every_time(model: Model) -> None:
    first, again = (rounding_noise(model.held, "fp32", [0, 1]) for _ in range(2))
    assert np.array_equal(first.probs, again.probs)
    assert np.array_equal(first.evidence, again.evidence)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_the_network_itself_stays_as_it_is(variant: str, model: Model) -> None:
    held = model.references.of(variant)
    before = copy.deepcopy(held.graph.state_dict())
    rounding_noise(held, "int8", [0, 1])
    rounding_noise(held, "fp16", [0, 1])
    for name, tensor in held.graph.state_dict().items():
        assert torch.equal(before[name], tensor), name
    again = reference_answers(held.graph, model.images.pixels[:2])
    assert np.array_equal(again.probs, held.probs[:2])


def test_in_int8_codes_are_rounded_the_other_way(model: Model) -> None:
    """Where nothing is rounded to codes, it is the noise of fp32."""
    assert rounding_noise(model.references.of("int8"), "int8", ALL_ROWS).evidence.max() > 1e-3
    assert rounding_noise(model.references.of("w8"), "int8", ALL_ROWS).evidence.max() < 1e-4


class BetweenTwoCodes(torch.nn.Module):
    """Logits (N, 2): the mean of codes of 0.5, which is rounded to 0, or to 1; and 0."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        halves = pixels.mean(1, keepdim=True) * 0 + 0.5
        codes = torch.fake_quantize_per_tensor_affine(halves, 1.0, 0, 0, 255)
        return torch.cat([codes.mean((2, 3)), torch.zeros(len(pixels), 1)], 1)


def test_places_with_the_same_sum_are_rounded_alike_where_that_is_asked(model: Model) -> None:
    held = with_graph(model.held, DeployGraph(BetweenTwoCodes(), model.held.spec))
    assert held.probs[0, 0] == 0.5
    all_of_them = 1 / (1 + np.exp(-1)) - 0.5
    assert rounding_noise(held, "int8", [0], alike=True).probs[0] == pytest.approx(all_of_them)
    half_of_them = 1 / (1 + np.exp(-0.5)) - 0.5
    each = rounding_noise(held, "int8", [0]).probs[0]
    assert each == pytest.approx(half_of_them, abs=0.01)


def test_noise_of_equal_numbers_has_the_size_of_other_noise(model: Model) -> None:
    each, alike = (rounding_noise(model.held, "fp16", ALL_ROWS, a).probs for a in (False, True))
    assert 0.2 < np.median(alike) / np.median(each) < 5


def test_a_network_that_enlarges_rounding_has_more_of_it(model: Model) -> None:
    plain = rounding_noise(model.held, "fp32", ALL_ROWS)
    large = rounding_noise(enlarging(model.held, 2048.0), "fp32", ALL_ROWS)
    assert large.evidence.max() > 100 * plain.evidence.max()


@pytest.mark.ci("draws two networks of 34 layers")
def test_a_residual_network_enlarges_rounding_by_the_size_of_its_branches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def noise(branch_scale: float) -> float:
        monkeypatch.setattr(drawn_network, "BRANCH_SCALE", branch_scale)
        spec = make_spec(architecture="resnet34", side=64)
        graph = DeployGraph(drawn_network.drawn_network(spec), spec).eval()
        images = few_images(spec.side)
        held = Reference(spec, "", graph, images, reference_answers(graph, images.pixels[:]))
        return float(rounding_noise(held, "fp16", range(len(images.names))).evidence.max())

    assert noise(1.0) > 3 * noise(0.1)


# --- a right file is explained by it, a wrong one is not ----------------------------------------


@pytest.mark.ci("runs every file of every format five times")
@pytest.mark.parametrize(("name", "precision"), ARTIFACTS)
def test_every_right_file_is_within_it_however_tight_the_tolerance(
    name: str,
    precision: str,
    model: Model,
    artifacts: Artifacts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tighten(monkeypatch, name, precision)
    held = model.held_for(name, precision)
    found = check_artifact(name, precision, artifacts[name, precision], held)
    assert found.status == "pass", found.reason
    if found.max_abs_diff > 1e-9:
        assert found.rounding is not None
        assert found.rounding.images <= found.images


@pytest.mark.parametrize(("name", "precision"), [("onnx", "fp32"), ("coreml", "fp16")])
def test_a_right_file_of_a_network_that_enlarges_rounding_passes_and_a_wrong_one_fails(
    name: str, precision: str, model: Model, tmp_path: Path
) -> None:
    held = enlarging(model.held_for(name, precision), {"onnx": 2048.0, "coreml": 64.0}[name])
    right = check_artifact(name, precision, convert((name, precision), held, tmp_path), held)
    tolerance = FORMATS[name].precisions[precision].tolerance
    assert right.evidence.max_rel_diff > tolerance.max_evidence_diff
    assert right.status == "pass", right.reason
    assert right.rounding.images > 0
    wrong = replaced_network(in_structure(structure.drop_relu))(held)
    found = check_artifact(name, precision, convert((name, precision), wrong, tmp_path), held)
    assert found.parts["weights"] == "pass"
    assert found.status == "fail"
    assert found.rounding is None


@pytest.mark.parametrize(
    ("noise", "parts"),
    [
        ((0.9, 0.9), set()),
        ((0.9, 0.0), {"evidence"}),
        ((0.0, 0.9), {"outputs"}),
        ((0.0, 0.0), {"outputs", "evidence"}),
    ],
)
def test_each_part_has_to_be_explained(
    noise: tuple[float, float],
    parts: set[str],
    model: Model,
    artifacts: Artifacts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tighten(monkeypatch, "onnx", "fp16")
    monkeypatch.setattr("export.parity.allowance.AT_A_TIME", 100)
    monkeypatch.setattr(
        "export.parity.allowance.rounding_noise",
        lambda _, __, rows, *___: RoundingNoise(*(np.full(len(rows), value) for value in noise)),
    )
    held = model.held_for("onnx", "fp16")
    found = check_artifact("onnx", "fp16", artifacts["onnx", "fp16"], held)
    assert {part for part, verdict in found.parts.items() if verdict != "pass"} == parts


def test_many_draws_move_it_at_least_as_far_as_a_few(model: Model) -> None:
    few, many = (rounding_noise(model.held, "fp32", ALL_ROWS, draws=n).probs for n in (1, 5))
    assert (many >= few).all()
    assert (many > few).any()


def test_evidence_that_does_not_average_to_the_logits_is_no_rounding(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far PyTorch itself would be."""
    monkeypatch.setattr(
        "export.parity.allowance.rounding_noise",
        lambda _, __, rows, *___: RoundingNoise(np.full(len(rows), 0.9), np.full(len(rows), 0.9)),
    )
    path = convert(("onnx", "fp32"), computing(seen(moved))(model.held), tmp_path)
    found = check_artifact("onnx", "fp32", path, model.held)
    assert "does not average to the logits" in found.reason


def test_noise_never_explains_what_a_wrong_operation_does(model: Model, tmp_path: Path) -> None:
    """Swapped maps are further apart than is ever allowed."""
    own = model.answers.evidence
    assert own is not None
    assert evidence_diff(own[:, ::-1], own).max() > MOST[1]


# --- with the weights of the file ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
def test_an_fp16_file_is_as_near_to_its_own_weights_as_an_fp32_file_is(
    name: str, model: Model, artifacts: Artifacts
) -> None:
    path = artifacts[name, "fp16"]
    held = model.held_for(name, "fp16")
    found = check_artifact(name, "fp16", path, held)
    assert found.status == "pass"
    assert found.max_abs_diff < 1e-5
    assert found.evidence.max_rel_diff < 1e-5
    # What the precision costs is the model's, not the file's.
    assert np.abs(held.probs - model.reference).max() > 10 * found.max_abs_diff


def test_halved_graphs_differ_from_the_checkpoints_by_their_weights_alone(model: Model) -> None:
    halved = halved_graph(model.graph)
    assert halved is not model.graph
    assert torch.equal(halved.pixels.mean, model.graph.pixels.mean)
    own, rounded = (g.pixels.network.state_dict() for g in (model.graph, halved))
    assert own.keys() == rounded.keys()
    for name, tensor in own.items():
        assert torch.equal(rounded[name], tensor.half().float()), name
