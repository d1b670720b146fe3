"""Heads other than a convolution: global pools side by side, followed by linear layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.half_weights import halved_graph
from export.deploy.metadata import model_metadata
from export.formats.base import verbs_of
from export.formats.facts import Precision, Tolerance
from export.formats.register import FORMATS
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.check import ParityResult, check_artifact
from export.parity.reference import Reference
from tests.conftest import make_spec
from tests.export.conftest import PLAIN

SPEC = make_spec()
IDENTITY = "ab" * 32


class Modules(nn.Module):
    """Global maximum and mean by modules, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.highest, self.mean = nn.AdaptiveMaxPool2d(1), nn.AdaptiveAvgPool2d(1)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([self.highest(features), self.mean(features)], dim=1).flatten(1)


class Functions(nn.Module):
    """The same by functions."""

    def forward(self, features: Tensor) -> Tensor:
        places = (2, 3)
        return torch.cat([torch.amax(features, dim=places), torch.mean(features, dim=places)], 1)


class Pooled(nn.Module):
    """Two convolutions with batch norms, the pools, a linear layer, a ReLU, a linear layer."""

    def __init__(self, pools: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.pools = pools
        self.dense = nn.Sequential(
            nn.Dropout(), nn.Linear(32, 12), nn.ReLU(inplace=True), nn.Linear(12, 2)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.dense(self.pools(self.body(pixels)))
        return logits


def build(pools: Callable[[], nn.Module]) -> DeployGraph:
    """Drawn weights; logits spread by 2 over the hard images."""
    torch.manual_seed(0)
    network = Pooled(pools())
    graph = DeployGraph(network, SPEC)
    pixels = torch.from_numpy(images().pixels).permute(0, 3, 1, 2).float()
    normalised = (pixels - graph.pixels.mean) / graph.pixels.std
    with torch.no_grad():
        for _ in range(50):
            network(normalised)  # statistics of the batch norms
        logits = network.eval()(normalised)
        scale = 2 / logits.std(dim=0)
        network.dense[3].weight *= scale[:, None]
        network.dense[3].bias.copy_((network.dense[3].bias - logits.mean(dim=0)) * scale)
    return graph.eval()


def images() -> ParityImages:
    hard = stress_images(SPEC.side)
    pixels = np.stack(list(hard.values()))
    return ParityImages(tuple(hard), ("hard",) * len(hard), pixels, "hard images")


def check(
    name: str, precision: str, made: DeployGraph, held: DeployGraph, path: Path
) -> ParityResult:
    """A file made from one graph, compared with another."""
    if precision == "fp16":
        made, held = halved_graph(made), halved_graph(held)
    verbs_of(name).convert(made, SPEC, model_metadata(SPEC, IDENTITY), precision, path)
    pixels = images()
    answers = reference_answers(held, pixels.pixels)
    assert answers.probs[:, 0].std() > 0.1
    assert answers.evidence is None
    reference = Reference(SPEC, IDENTITY, held, pixels, answers)
    return check_artifact(name, precision, path, reference)


@pytest.mark.parametrize("pools", [Modules, Functions])
@pytest.mark.parametrize(("name", "precision"), PLAIN)
def test_a_head_of_global_pools_and_linear_layers_converts_and_is_proven(
    name: str, precision: str, pools: Callable[[], nn.Module], tmp_path: Path
) -> None:
    path = tmp_path / f"x{FORMATS[name].suffix}"
    found = check(name, precision, build(pools), build(pools), path)
    assert found.status == "pass", found.reason
    assert set(found.parts) >= {"contract", "weights", "outputs"}
    assert "evidence" not in found.parts
    assert found.evidence is None
    assert [port.name for port in verbs_of(name).describe(path).outputs] == ["probs"]


@pytest.mark.parametrize(("name", "precision"), PLAIN)
def test_a_wrong_weight_in_a_linear_layer_is_found(
    name: str, precision: str, tmp_path: Path
) -> None:
    wrong = build(Functions)
    with torch.no_grad():
        wrong.pixels.network.dense[1].weight[3, 4] *= 1.01
    found = check(name, precision, wrong, build(Functions), tmp_path / f"x{FORMATS[name].suffix}")
    assert "dense.1.weight: 1 of 384 values" in found.parts["weights"]


def test_rounding_explains_a_file_without_evidence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tight = Precision("fp16", Tolerance(1e-9, 0.0, "tight"), "fp32")
    monkeypatch.setitem(FORMATS["onnx"].precisions, "fp16", tight)
    found = check("onnx", "fp16", build(Functions), build(Functions), tmp_path / "x.onnx")
    assert found.status == "pass", found.reason
    assert found.rounding.max_rel_diff == 0
