from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.compress.bit_allocation import CHOICES, allocate_levels
from pipeline.compress.gptq import input_moments, round_weight, weighted_layers
from pipeline.quantization_grid import Grid
from tests.pipeline.small_network import logits, small_network, smooth_images

IMAGES = smooth_images()


def allocate(network: nn.Module, mean_bits: float, seed: int = 0) -> dict[str, int]:
    return allocate_levels(network, weighted_layers(network), IMAGES, mean_bits, seed)


def sizes(network: nn.Module) -> dict[str, int]:
    return {n: network.get_submodule(n).weight.numel() for n in weighted_layers(network)}


def bits_of(network: nn.Module, levels: dict[str, int]) -> int:
    return sum(CHOICES[levels[name]] * size for name, size in sizes(network).items())


def test_the_bits_of_a_choice_are_those_of_a_code_on_its_grid():
    for levels, bits in CHOICES.items():
        assert Grid(np.zeros((1, 1), np.int8), np.ones(1, np.float32), levels).bits == bits
    assert list(CHOICES) == sorted(CHOICES)


@pytest.mark.parametrize("mean_bits", [2.0, 2.5, 3.0, 4.2, 7.9])
def test_the_budget_is_kept_and_spent_as_far_as_it_goes(mean_bits):
    network = small_network()
    levels = allocate(network, mean_bits)
    assert list(levels) == weighted_layers(network)
    assert set(levels.values()) <= set(CHOICES)
    left = mean_bits * sum(sizes(network).values()) - bits_of(network, levels)
    assert left >= 0
    choices = list(CHOICES)
    for name, size in sizes(network).items():
        if levels[name] != choices[-1]:
            finer = choices[choices.index(levels[name]) + 1]
            assert (CHOICES[finer] - CHOICES[levels[name]]) * size > left, name


def test_the_least_budget_is_the_coarsest_grid_for_all_and_a_large_one_the_finest():
    network = small_network()
    assert set(allocate(network, 2).values()) == {1}
    assert set(allocate(network, 8).values()) == {127}


def test_the_first_step_goes_to_the_layer_that_gains_most_for_a_bit():
    network = small_network()
    names = weighted_layers(network)
    gains = {}
    for name, moments in input_moments(network, names, IMAGES, seed=0).items():
        weight = network.get_submodule(name).weight.detach().numpy()
        rows = weight.reshape(len(weight), -1).astype(np.float64)
        errors = []
        for levels in (1, 3):
            off = rows - round_weight(weight, moments, levels).weights().reshape(rows.shape)
            errors.append(np.trace(off @ moments @ off.T) / np.trace(rows @ moments @ rows.T))
        gains[name] = (errors[0] - errors[1]) / rows.size
    best = max(gains, key=lambda name: gains[name])
    total = sum(sizes(network).values())
    assert gains[best] > 1.02 * sorted(gains.values())[-2]  # or the result would be arbitrary
    # Another layer gains more in all, and would take the whole budget.
    largest = max(gains, key=lambda name: gains[name] * sizes(network)[name])
    assert largest != best
    levels = allocate(network, 2 + sizes(network)[largest] / total + 1e-9)
    assert levels[best] > 1
    assert levels[largest] == 1


def test_bits_go_where_weights_are_hard_to_round():
    """Weights of two values lie on the coarsest grid as they are: more bits would gain nothing."""
    network = small_network()
    with torch.no_grad():
        easy = network.get_submodule("body.3.expand3x3").weight
        easy.copy_(0.1 * torch.sign(easy))
    assert allocate(network, 3.8)["body.3.expand3x3"] == 1
    assert allocate(small_network(), 3.8)["body.3.expand3x3"] > 1


def test_the_scale_of_a_layers_outputs_does_not_matter():
    network, louder = small_network(), small_network()
    with torch.no_grad():
        louder.get_submodule("head.1").weight.mul_(8)
    assert allocate(louder, 3.0) == allocate(network, 3.0)


def test_allocating_does_not_change_the_network_and_gives_the_same_again():
    network = small_network()
    before = logits(network, IMAGES)
    first = allocate(network, 3.0)
    torch.rand(7)
    assert allocate(network, 3.0) == first
    assert torch.equal(logits(network, IMAGES), before)
