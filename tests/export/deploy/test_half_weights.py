"""Every weight of an fp16 file's reference is a number of fp16; nothing else changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from export.deploy.batch_norm_folding import norms_as_convolutions
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.half_weights import halved_graph
from export.deploy.layer_order import network_layers
from export.images.stress_images import stress_images
from tests.conftest import SIDE, make_spec

SPEC = make_spec()


class Preactivated(nn.Module):
    """A batch norm that can be folded, and one before a ReLU, which cannot."""

    def __init__(self, affine: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, bias=False)
        self.folded = nn.BatchNorm2d(4)
        self.kept = nn.BatchNorm2d(4, affine=affine)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        normed = self.folded(self.first(pixels))
        activated = torch.relu(normed)
        return torch.mean(self.last(torch.relu(self.kept(activated))), dim=(2, 3))


def graph(affine: bool = True) -> DeployGraph:
    torch.manual_seed(0)
    network = Preactivated(affine)
    with torch.no_grad():
        for norm in (network.folded, network.kept):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            if norm.affine:
                norm.weight.uniform_(0.5, 2)
                norm.bias.normal_()
    return DeployGraph(network, SPEC).eval()


def is_half(values: np.ndarray) -> bool:
    return np.array_equal(values, values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("affine", [True, False])
def test_weights_are_numbers_of_fp16_with_batch_norms_folded(affine: bool) -> None:
    layers = network_layers(halved_graph(graph(affine)).pixels, SIDE)
    assert [layer.kind for layer in layers] == ["conv", "batch_norm", "conv"]
    for layer in layers:
        assert all(is_half(tensor) for tensor in layer.tensors.values()), layer.name


def test_a_batch_norm_that_stays_multiplies_and_adds_the_rounded_numbers() -> None:
    own, halved = graph(), halved_graph(graph())
    kept = halved.pixels.network.get_submodule("kept")
    x = torch.randn(2, 4, 5, 5)
    exact = own.pixels.network.kept
    scale = exact.weight / (exact.running_var + exact.eps).sqrt()
    shift = exact.bias - exact.running_mean * scale
    with torch.no_grad():
        expected = x * scale.half().float()[:, None, None] + shift.half().float()[:, None, None]
        assert torch.allclose(kept(x), expected, atol=1e-6)


def test_as_a_convolution_it_holds_the_same_numbers() -> None:
    """The form that the lite interpreter runs."""
    halved = halved_graph(graph()).pixels.network
    norm, convolution = halved.get_submodule("kept"), norms_as_convolutions(halved).kept
    assert torch.equal(convolution.weight.reshape(-1), norm.weight)
    assert torch.equal(convolution.bias, norm.bias)


def test_the_outputs_move_by_rounding_and_the_graph_itself_stays() -> None:
    own = graph()
    before = copy.deepcopy(own.state_dict())
    pixels = np.stack(list(stress_images(SIDE).values()))
    found, expected = (reference_answers(g, pixels).probs for g in (halved_graph(own), own))
    assert 0 < np.abs(found - expected).max() < 5e-3
    assert all(torch.equal(before[name], tensor) for name, tensor in own.state_dict().items())


def test_halving_twice_changes_nothing() -> None:
    once = halved_graph(graph())
    for one, other in zip(
        network_layers(once.pixels, SIDE),
        network_layers(halved_graph(once).pixels, SIDE),
        strict=True,
    ):
        for key, tensor in one.tensors.items():
            assert np.array_equal(tensor, other.tensors[key]), (one.name, key)
