"""A planted fault in a known layer: explain must name that layer, in every format."""

from __future__ import annotations

import copy
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from export.cli.main import main
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.metadata import model_metadata
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.parity.layer_diff import explain, print_explanation
from export.parity.reference import Reference
from tests.conftest import make_spec
from tests.export.conftest import PLAIN, Artifacts, Model
from tests.pipeline.program.small_networks import Residual, drawn

IMAGE = "hard/noise_colour"
OPEN = ("onnx", "coreml")  # formats whose steps can be watched


def one_layer_times_1_01(graph: DeployGraph) -> None:
    with torch.no_grad():
        graph.pixels.network.body[6].squeeze.weight *= 1.01


def another_dilation(graph: DeployGraph) -> None:
    convolution = graph.pixels.network.body[7].expand3x3
    convolution.dilation = convolution.padding = (2, 2)  # of the same shape


def a_missing_relu(graph: DeployGraph) -> None:
    graph.pixels.network.body[4].squeeze_activation = nn.Identity()


def no_normalisation(graph: DeployGraph) -> None:
    graph.pixels.mean.zero_()
    graph.pixels.std.fill_(255.0)


def faulty(model: Model, name: str, fault: Callable[[DeployGraph], None], folder: Path) -> Path:
    graph = copy.deepcopy(model.graph)
    fault(graph)
    path = folder / f"faulty{FORMATS[name].suffix}"
    verbs_of(name).convert(graph, model.spec, model.metadata, "fp32", path)
    return path


@pytest.mark.parametrize(("name", "precision"), [*PLAIN, ("coreml", "w4"), ("coreml", "w3")])
def test_nothing_is_found_in_a_clean_artifact(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    held = model.held_for(name, precision)
    found = explain(name, precision, artifacts[name, precision], held, IMAGE)
    assert len(found.places) == 2 * 26  # both sides of every convolution of SqueezeNet
    assert not any(place.differs for place in found.places)
    assert "rounding" in found.verdict or "weights agree" in found.verdict


@pytest.mark.parametrize("name", FORMATS)
def test_a_scaled_layer_is_named_in_every_format(name: str, model: Model, tmp_path: Path) -> None:
    path = faulty(model, name, one_layer_times_1_01, tmp_path)
    found = explain(name, "fp32", path, model.held, IMAGE)
    assert found.verdict.startswith("first difference: in body.6.squeeze (weights")


@pytest.mark.parametrize("name", OPEN)
def test_a_wrong_dilation_is_found_in_its_layer(name: str, model: Model, tmp_path: Path) -> None:
    path = faulty(model, name, another_dilation, tmp_path)
    found = explain(name, "fp32", path, model.held, IMAGE)
    assert found.verdict.startswith("first difference: in body.7.expand3x3 (")


@pytest.mark.parametrize("name", OPEN)
def test_a_missing_activation_is_found_between_two_layers(
    name: str, model: Model, tmp_path: Path
) -> None:
    found = explain(name, "fp32", faulty(model, name, a_missing_relu, tmp_path), model.held, IMAGE)
    assert found.verdict.startswith(
        "first difference: between body.4.squeeze and body.4.expand1x1 (activation"
    )


class Positions(Residual):
    """A layer reads a constant: converters may compute it once, and the file has no such layer."""

    def make(self) -> None:
        super().make()
        self.place = nn.Conv2d(2, 8, 1)
        self.register_buffer("grid", torch.tensor([0.5, -1.5]).reshape(1, 2, 1, 1))

    def between(self, x: Tensor) -> Tensor:
        return super().between(x + self.place(self.grid))


@pytest.mark.parametrize("name", FORMATS)
def test_a_layer_that_reads_a_constant_does_not_hide_the_one_that_differs(
    name: str, tmp_path: Path
) -> None:
    spec = make_spec(side=16, labels=tuple("abcde"), positive=None, threshold=None)
    graph = DeployGraph(drawn(Positions()), spec).eval()
    images = ParityImages(("noise",), ("hard",), noise(16), "noise")
    held = Reference(spec, "0" * 64, graph, images, reference_answers(graph, images.pixels))
    for fault, told in ((None, "agree|rounding"), ("second.weight", r"second")):
        made = copy.deepcopy(graph)
        if fault:
            with torch.no_grad():
                made.pixels.network.get_parameter(fault).view(-1)[3] += 0.25
        path = tmp_path / f"{fault}{FORMATS[name].suffix}"
        verbs_of(name).convert(made, spec, model_metadata(spec, "0" * 64), "fp32", path)
        found = explain(name, "fp32", path, held, "noise")
        assert found.differs == bool(fault)
        assert re.search(told, found.verdict), found.verdict


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", OPEN)
def test_a_wrong_normalisation_is_found_before_the_first_layer(
    name: str, model: Model, tmp_path: Path
) -> None:
    path = faulty(model, name, no_normalisation, tmp_path)
    found = explain(name, "fp32", path, model.held, IMAGE)
    assert found.verdict.startswith("first difference: before body.0 (colour order, normal")


def test_the_table_shows_both_sides_values_around_the_first_difference(
    model: Model, tmp_path: Path
) -> None:
    path = faulty(model, "onnx", one_layer_times_1_01, tmp_path)
    screen = io.StringIO()
    print_explanation(
        Console(file=screen, width=120), explain("onnx", "fp32", path, model.held, IMAGE)
    )
    text = screen.getvalue()
    assert "body.6.squeeze" in text
    assert "more places" in text
    assert "first difference: in body.6.squeeze" in text


@pytest.mark.slow("compares several files layer by layer")
def test_the_command_exits_1_when_a_layer_differs_and_2_on_a_bad_request(
    model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = faulty(model, "onnx", one_layer_times_1_01, tmp_path)
    command = ["explain", "onnx", "--checkpoint", str(model.folder), "--artifact", str(path)]
    assert main(command) == 1
    assert "first difference: in body.6.squeeze" in capsys.readouterr().out.replace("\n", " ")
    assert main([*command, "--image", "hard/nothing"]) == 2
    assert main([*command, "--precision", "fp64"]) == 2
    assert main([*command[:-1], str(tmp_path / "nowhere.onnx")]) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("error: ")
