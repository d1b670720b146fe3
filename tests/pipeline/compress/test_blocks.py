"""The blocks of networks made for phones are compressed by rounding alone, and learn on grids."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pipeline.compress.activation_quantization import calibrate, int8_variant, rounded_places
from pipeline.compress.gptq import round_network, weighted_layers
from pipeline.compress.recipes import PRECISIONS
from pipeline.compress.reduced_network import rounded
from pipeline.compress.rounding_places import is_place, kernel_of
from pipeline.models.batch_norm_folding import compressible_network, folded_network
from pipeline.models.networks import with_evidence
from tests.pipeline.small_blocks import BODIES, small_block
from tests.pipeline.small_network import logits, smooth_images

SEEN, UNSEEN = smooth_images(), smooth_images(seed=9)
each_block = pytest.mark.parametrize("kind", BODIES)


@each_block
def test_the_folded_block_is_the_block(kind):
    network = small_block(kind)
    folded = folded_network(network)
    left = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == (2 if kind == "dense" else 0)
    wanted = logits(network, UNSEEN)
    assert (logits(folded, UNSEEN) - wanted).abs().max() < 1e-5 * wanted.abs().max()


@each_block
def test_of_every_layer_the_weight_is_on_a_grid(kind):
    network = compressible_network(small_block(kind))
    reduced = rounded(network, SEEN, PRECISIONS["w4"])
    assert reduced.grids.keys() == {f"{name}.weight" for name in weighted_layers(network)}
    for name, grid in reduced.grids.items():
        weight = reduced.network.get_parameter(name)
        assert torch.equal(weight, torch.from_numpy(grid.weights())), name
    for name, parameter in reduced.network.named_parameters():
        assert name in reduced.grids or torch.equal(parameter, parameter.half().float()), name


@each_block
def test_rounding_to_8_bits_alone_keeps_what_the_block_says(kind):
    network = small_block(kind)
    reduced = rounded(compressible_network(network), SEEN, PRECISIONS["int8"])
    wanted, found = logits(network, UNSEEN), logits(reduced.variant(), UNSEEN)
    assert not torch.equal(found, wanted)
    assert (found - wanted).pow(2).mean().sqrt() < 0.15 * wanted.std(0).mean()


def outputs_of(network: nn.Module, name: str) -> torch.Tensor:
    found: list[torch.Tensor] = []
    hook = network.get_submodule(name).register_forward_hook(lambda *_: found.append(_[-1].clone()))
    logits(network, SEEN)
    hook.remove()
    return torch.cat(found)


@each_block
def test_a_layers_outputs_change_less_than_by_plain_rounding(kind):
    network = compressible_network(small_block(kind))
    for name in weighted_layers(network):
        ours, plain = copy.deepcopy(network), copy.deepcopy(network)
        round_network(ours, SEEN, {name: 3}, seed=0)
        with torch.no_grad():
            weight = plain.get_parameter(f"{name}.weight")
            scale = weight.flatten(1).abs().amax(1).reshape(-1, *[1] * (weight.ndim - 1)) / 3
            weight.copy_((weight / scale).round() * scale)
        wanted = outputs_of(network, name)
        errors = [(outputs_of(each, name) - wanted).pow(2).mean() for each in (ours, plain)]
        assert errors[0] < errors[1], name


@each_block
def test_places_are_the_same_with_and_without_the_map_of_evidence(kind):
    network = compressible_network(small_block(kind))
    activations = calibrate(network, SEEN)
    variant = int8_variant(with_evidence(network), activations, {})
    assert [name for name, _ in rounded_places(variant)] == list(activations)
    assert torch.equal(variant(UNSEEN[0])[0], int8_variant(network, activations, {})(UNSEEN[0]))


KERNELS = {
    "depthwise": {"layer", "add"},
    "residual": {"layer", "add"},
    "average": {"layer", "add"},
    "sums": {"layer", "add"},
    "squeeze": {"layer", "mul", "hardswish"},
    "layer norm": {"layer", "add"},
    "dense": {"layer", "cat"},
}


@each_block
def test_what_integer_arithmetic_has_is_in_integers(kind):
    network = compressible_network(small_block(kind))
    grids = round_network(network, SEEN, dict.fromkeys(weighted_layers(network), 127), seed=0)
    variant = int8_variant(network, calibrate(network, SEEN), grids)
    kernels = [kernel_of(place) for place in filter(is_place, variant.graph.nodes)]
    assert {kernel.kind for kernel in kernels if kernel} == KERNELS[kind]
    layers = [str(k.node.target) for k in kernels if k and k.kind == "layer"]
    assert sorted(layers) == sorted(weighted_layers(network)[:-1])  # but the last


def test_a_relu6_is_part_of_the_rounding_after_it():
    network = compressible_network(small_block("depthwise"))
    loud = copy.deepcopy(network)
    with torch.no_grad():
        loud.body[0].weight.mul_(100)
    for each in (network, loud):
        scales = calibrate(each, SEEN)
        clamped = [name for name in scales if name.startswith("body.3.conv.0")]
        assert clamped
        for name in clamped:
            scale, zero_point = scales[name]
            assert zero_point == 0
            assert 255 * scale <= 6 * (1 + 1e-6)
