"""Batch norms that are folded, and those that stay: the same function, the same bits anywhere."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.deploy.batch_norm_folding import (
    folded_graph,
    folded_network,
    norms_as_convolutions,
    scale_and_shift,
)
from export.deploy.graph import DeployGraph
from export.deploy.layers import Layer
from pipeline.models.networks import build_network
from tests.conftest import make_spec

PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
# Architecture -> convolutions, and the batch norms that cannot be folded.
REMAINING = {
    "squeezenet1_1": (26, 0),
    "resnet34": (37, 0),
    "resnet152": (156, 0),
    "densenet169": (169, 86),
    "vgg19_bn": (17, 0),
}


class Block(nn.Module):
    """One convolution whose batch norm can be folded, and three that must not be."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, bias=False)
        self.folds = nn.BatchNorm2d(4, eps=1e-3)
        self.shared = nn.Conv2d(4, 4, 1)
        self.after_relu = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1)
        self.after_twice = nn.BatchNorm2d(4, affine=False)
        self.after_shared = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.folds(self.first(x))
        y = self.shared(x)
        x = self.after_relu(torch.relu(x))
        z = self.after_twice(self.twice(self.twice(x)))
        return z + y + self.after_shared(y)


def draw(network: nn.Module) -> nn.Module:
    """Statistics and parameters that matter."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
            if module.affine:
                nn.init.uniform_(module.weight, -2, 2)
                nn.init.normal_(module.bias)
    return network.eval()


def kinds(network: nn.Module) -> Counter[str]:
    return Counter(type(m).__name__ for m in network.modules())


@pytest.fixture
def block() -> nn.Module:
    return draw(Block())


def test_only_a_batch_norm_that_alone_takes_a_convolution_is_folded(block: nn.Module) -> None:
    folded = folded_network(block)
    assert kinds(folded)["BatchNorm2d"] == 3
    assert kinds(block)["BatchNorm2d"] == 4  # a copy was folded
    with torch.inference_mode():
        diff = (folded.double()(PIXELS.double()) - block.double()(PIXELS.double())).abs().max()
    assert diff < 1e-5  # folded weights are float32


def test_a_batch_norm_as_a_depthwise_convolution_is_the_same_function(block: nn.Module) -> None:
    made = norms_as_convolutions(block)
    assert kinds(made)["BatchNorm2d"] == 0
    with torch.inference_mode():
        assert torch.allclose(made(PIXELS), block(PIXELS), rtol=1e-5, atol=1e-5)


def test_a_folded_weight_is_the_float64_product_rounded_once(block: nn.Module) -> None:
    norm, before = block.folds, block.first.weight.detach().double()
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + np.float32(1e-3))
    shift = norm.bias.double() - norm.running_mean.double() * scale
    after = folded_network(block).first
    assert torch.equal(after.weight, (before * scale.reshape(-1, 1, 1, 1)).float())
    assert torch.equal(after.bias, shift.float())


def test_a_wrong_epsilon_changes_a_scale() -> None:
    ones = dict.fromkeys(("weight", "bias", "mean", "variance"), np.ones(3, np.float32))
    right, wrong = (
        scale_and_shift(Layer("batch_norm", "x", {**ones, "epsilon": np.float32(e)}).tensors)
        for e in (1e-5, 1e-4)
    )
    assert (right[0] != wrong[0]).all()


def test_without_a_batch_norm_nothing_is_copied() -> None:
    graph = DeployGraph(nn.Sequential(nn.Conv2d(3, 2, 1)), make_spec())
    assert folded_graph(graph) is graph
    assert norms_as_convolutions(graph.pixels.network) is graph.pixels.network


def test_a_folded_graph_keeps_all_but_its_network() -> None:
    graph = DeployGraph(draw(Block()), make_spec(), {"first.weight": "a grid"})  # type: ignore[dict-item]
    graph.pixels.mean += 1
    made = folded_graph(graph)
    assert made is not graph
    assert torch.equal(made.pixels.mean, graph.pixels.mean)
    assert made.grids == graph.grids
    assert isinstance(graph.pixels.network, Block)


@pytest.mark.parametrize(("architecture", "left"), REMAINING.items())
def test_of_each_topology_all_that_can_be_folded_is(
    architecture: str, left: tuple[int, int]
) -> None:
    """86 of DenseNet-169's come before a ReLU: one in each of 82 layers, 3 transitions, the end."""
    with torch.device("meta"):  # no weights are drawn, which takes longer than all else
        network = build_network(architecture, 2).to_empty(device="cpu").eval()
    for tensor in network.state_dict().values():
        tensor.fill_(1)
    found = kinds(folded_network(network))
    assert (found["Conv2d"], found["BatchNorm2d"]) == left
