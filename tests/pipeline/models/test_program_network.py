"""A program as a network of modules computes the same, under the same names."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.models.networks import with_evidence
from pipeline.models.program_network import program_network
from pipeline.program.batch_norm_folding import folded
from tests.pipeline.program.small_networks import (
    KINDS,
    Headed,
    drawn,
    pixels,
    program_of,
    small,
    small_program,
)


@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_the_same_and_has_the_programs_tensors(kind: str) -> None:
    for program in (small_program(kind), folded(small_program(kind))):
        network = program_network(program)
        assert network.state_dict().keys() == program.tensors().keys()
        with torch.no_grad():
            expected = program.network(pixels(3))
            assert torch.allclose(network(pixels(3)), expected, atol=1e-5)


def test_layers_are_modules_with_their_settings() -> None:
    network = program_network(small_program("depthwise"))
    depthwise = network.get_submodule("depthwise")
    assert isinstance(depthwise, nn.Conv2d)
    assert (depthwise.groups, depthwise.padding, depthwise.bias) == (16, (1, 1), None)
    assert isinstance(network.get_submodule("grown"), nn.BatchNorm2d)
    assert isinstance(network.get_submodule("head"), nn.Linear)
    kinds = {type(module) for module in program_network(folded(small_program("dense"))).modules()}
    assert nn.BatchNorm2d in kinds  # one that cannot be folded


def test_a_layer_that_is_called_twice_is_one_module() -> None:
    class Twice(Headed):
        def between(self, x: torch.Tensor) -> torch.Tensor:
            return F.max_pool2d(self.stem(F.max_pool2d(x[:, :3], 2)), (2, 1), ceil_mode=True)

    original = drawn(Twice())
    network = program_network(program_of(original))
    calls = [n for n in network.graph.nodes if n.op == "call_module" and n.target == "stem"]
    assert len(calls) == 2
    with torch.no_grad():
        assert torch.allclose(network(pixels()), original(pixels()), atol=1e-5)


def test_a_weight_that_something_else_reads_stays_with_the_graph() -> None:
    class Weighed(Headed):
        def between(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.stem.weight.sum()

    original = drawn(Weighed())
    network = program_network(program_of(original))
    assert not any(isinstance(module, nn.Conv2d) for module in network.modules())
    with torch.no_grad():
        assert torch.allclose(network(pixels()), original(pixels()), atol=1e-4)


class ClassesAtPlaces(nn.Module):
    """SqueezeNet's own classifier: the mean of a map for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Conv2d(3, 5, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.classes(x)).mean((2, 3))


def test_the_mean_over_places_of_a_map_for_each_class_has_evidence() -> None:
    original = drawn(ClassesAtPlaces())
    network = with_evidence(program_network(program_of(original)))
    with torch.no_grad():
        logits, evidence = network(pixels())
        assert torch.equal(logits, original(pixels()))
        assert torch.equal(evidence, F.relu(original.classes(pixels())))


def test_any_other_head_has_no_evidence() -> None:
    network = program_network(small_program("plain"))
    assert with_evidence(network) is network
    with torch.no_grad():
        assert torch.allclose(network(pixels()), small("plain")(pixels()), atol=1e-5)
