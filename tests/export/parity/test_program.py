"""A network that no library builds, kept as a program, converted to each format and proven."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.deploy.graph import PixelGraph
from export.images.stress_images import stress_images
from export.parity.check import check_artifact
from pipeline.adopt.any_learner.learner_program import learner_program
from pipeline.checkpoint import write_checkpoint
from pipeline.program.writing import document
from tests.conftest import make_spec
from tests.export.conftest import ARTIFACTS, Model, convert, read_model, write_variants

pytestmark = pytest.mark.slow("converts a second network")

SIZE = (64, 64)
# Activations in 8 bits are `pipeline.compress`'s own matter.
CASES = [(name, precision) for name, precision in ARTIFACTS if precision != "int8"]


class Own(nn.Module):
    """A batch norm, a residual branch with a scale, a maximum, activations other than ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.one, self.two = nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(6, 8, 1)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.5))
        self.head = nn.Linear(8, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.max_pool2d(F.hardswish(self.norm(self.stem(pixels))), 2)
        x = x + self.scale * self.two(F.relu6(self.one(x)))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A checkpoint as `adopt` writes it; its outputs vary over the images."""
    spec = make_spec(name="own", architecture="program/Own", side=64)
    torch.manual_seed(0)
    model = Own().eval()
    with torch.no_grad():
        model.norm.running_mean.normal_(std=0.2)
        model.norm.running_var.uniform_(0.5, 1.5)
        pixels = np.stack(list(stress_images(spec.side).values())).transpose(0, 3, 1, 2)
        bare = PixelGraph(model, spec)
        logits = model((torch.from_numpy(pixels).float() - bare.mean) / bare.std)
        factor = 1 / logits.std(dim=0)
        model.head.weight *= factor[:, None]
        model.head.bias.copy_((model.head.bias - logits.median(dim=0).values) * factor)
    program = learner_program(model, SIZE, 2)
    folder = tmp_path_factory.mktemp("own") / "checkpoint"
    folder.mkdir()
    write_checkpoint(folder, spec, program.tensors(), program=document(program))
    write_variants(folder, w4=7, w3=3)
    return read_model(folder)


@pytest.mark.parametrize(("name", "precision"), CASES)
def test_a_program_is_proven_in_every_format(
    name: str, precision: str, own: Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = convert(own, name, precision, tmp_path_factory.mktemp(name))
    assert own.reference[:, 0].std() > 0.1
    assert own.answers.evidence is not None
    result = check_artifact(name, precision, path, own.held_for(name, precision))
    assert result.status == "pass", result


@pytest.mark.parametrize("layer", ["stem", "two"])
def test_one_changed_weight_is_found_and_its_layer_named(
    layer: str, own: Model, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(layer)
    weights = own.checkpoint.weights()
    weights[f"{layer}.weight"][1, 0] *= 1.01
    write_checkpoint(folder, own.spec, weights, program=own.checkpoint.program_document())
    path = convert(read_model(folder), "onnx", "fp32", folder)
    result = check_artifact("onnx", "fp32", path, own.held)
    assert result.status == "fail"
    assert f"{layer}.weight" in result.parts["weights"]
