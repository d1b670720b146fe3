"""Drawn networks behave like learnt ones: outputs vary, branches are small, statistics are true."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.resnet import BasicBlock, ResNet

from benchmarks.drawn_network import BRANCH_SCALE, SCALES, calibrate, drawn_network
from export.deploy.graph import DeployGraph, reference_probs
from export.images.stress_images import stress_images
from pipeline.models.networks import Network
from tests.conftest import make_spec

pytestmark = pytest.mark.slow("traces networks, and draws whole ones")

SMALL = (SCALES[0] * BRANCH_SCALE, SCALES[1] * BRANCH_SCALE)


def residual() -> nn.Sequential:
    whole = ResNet(BasicBlock, [1, 1, 0, 0])
    layers = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")
    return nn.Sequential(*(getattr(whole, layer) for layer in layers))


def layer_scaled() -> nn.Module:
    return ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)]).features


class Parallel(nn.Module):
    """Two convolutions that could be merged: neither is a branch of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.wide_norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.point, self.point_norm = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.wide_norm(self.wide(x)) + self.point_norm(self.point(x)))


class BesideWhatTheyRead(nn.Module):
    """As in RepVGG and MobileOne, summed in either order; a ghost convolution ends the last sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.wide, self.wide_norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.point, self.point_norm = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.same_norm = nn.BatchNorm2d(8)
        self.first, self.first_norm = nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4)
        self.cheap, self.cheap_norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        both = self.point_norm(self.point(x)) + self.same_norm(x)
        x = torch.relu(self.wide_norm(self.wide(x)) + both)
        first = self.first_norm(self.first(x))
        return x + torch.cat([first, self.cheap_norm(self.cheap(first))], dim=1)


def calibrated(body: Callable[[], nn.Module], channels: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = calibrate(Network(body(), channels, 2), make_spec(side=32))
    assert not any(module.training for module in network.modules())
    return network.state_dict()


def between(tensor: torch.Tensor, limits: tuple[float, float]) -> bool:
    return bool(limits[0] <= tensor.min() < tensor.max() <= limits[1])


def test_the_norm_that_ends_a_residual_branch_is_small_and_no_other():
    state = calibrated(residual, 128)
    for name, tensor in state.items():
        if ".running_" not in name and tensor.ndim == 1 and name.endswith("weight"):
            assert between(tensor, SMALL if ".bn2." in name else SCALES), name


def test_a_layer_scale_is_small_whatever_it_starts_from():
    state = calibrated(layer_scaled, 16)
    scales = [tensor for name, tensor in state.items() if name.endswith("layer_scale")]
    assert len(scales) == 2
    assert all(between(scale, SMALL) for scale in scales)


def test_parallel_convolutions_are_no_branches():
    state = calibrated(Parallel, 8)
    assert between(state["body.wide_norm.weight"], SCALES)
    assert between(state["body.point_norm.weight"], SCALES)


def test_what_stands_beside_what_it_reads_is_small_in_all_that_ends_it():
    state = calibrated(BesideWhatTheyRead, 8)
    norms = ("wide_norm", "point_norm", "first_norm", "cheap_norm")
    assert all(between(state[f"body.{norm}.weight"], SMALL) for norm in norms)
    assert between(state["body.same_norm.weight"], SCALES)


def test_batch_norms_hold_what_they_see():
    torch.manual_seed(0)
    body, seen = Parallel(), []
    body.wide.register_forward_hook(lambda _, inputs, output: seen.append(output))
    calibrate(Network(body, 8, 2), make_spec(side=32))
    batch = max(seen, key=len)
    assert len(batch) > 20
    assert torch.allclose(body.wide_norm.running_mean, batch.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(body.wide_norm.running_var, batch.var((0, 2, 3)), rtol=1e-3)


@pytest.mark.parametrize("architecture", ["squeezenet1_1", "resnet18", "mobilenet_v3_small"])
def test_outputs_of_drawn_weights_vary_and_are_not_saturated(architecture: str) -> None:
    spec = make_spec(architecture=architecture)
    pixels = np.stack(list(stress_images(spec.side).values()))
    probs = reference_probs(DeployGraph(drawn_network(spec), spec).eval(), pixels)[:, 0]
    assert probs.std() > 0.1
    assert np.median(np.abs(probs - 0.5)) < 0.45


def test_one_seed_draws_one_network() -> None:
    first, second, other = (drawn_network(make_spec(), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["body.0.weight"], other["body.0.weight"])
