"""An int8 checkpoint of before is read with its own places: the released one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.checkpoint import RELEASED, open_checkpoint
from pipeline.compress import fx_quantization
from pipeline.compress.activation_quantization import (
    int8_variant,
    rounded_places,
    unrounded_variant,
)
from pipeline.compress.fx_quantization import PLACE
from pipeline.models.networks import load_network
from tests.pipeline.small_network import logits, smooth_images

SEEN = smooth_images(batches=1, size=4, side=64)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return load_network(open_checkpoint(RELEASED / "int8"))


def read() -> tuple[dict, dict]:
    checkpoint = open_checkpoint(RELEASED / "int8")
    assert checkpoint.spec.compression is not None
    return dict(checkpoint.spec.compression.activations), checkpoint.grids()


def test_an_older_checkpoint_is_rounded_at_the_places_it_names(network):
    activations, grids = read()
    variant = int8_variant(network, activations, grids)
    assert {name for name, _ in rounded_places(variant)} == activations.keys()
    for name, place in rounded_places(variant):
        assert name.startswith(PLACE)
        assert (float(place.scale), int(place.zero_point)) == activations[name]
    wanted, found = logits(network, SEEN), logits(variant, SEEN)
    assert not torch.equal(found, wanted)
    assert (found - wanted).abs().max() < 0.5 * wanted.std()
    plain = unrounded_variant(network, activations)
    assert torch.allclose(logits(plain, SEEN), wanted, atol=1e-4)


def test_its_biases_are_multiples_of_the_steps_of_integer_kernels(network):
    activations, grids = read()
    variant = int8_variant(network, activations, grids)
    layer = variant.get_submodule("body.0")[0]  # with the ReLU that follows
    scale, _ = activations[f"{PLACE}0"]
    step = torch.from_numpy(grids["body.0.weight"].scale).double() * scale
    multiples = layer.bias.detach().double() / step
    assert (multiples - multiples.round()).abs().max() < 1e-3
    assert multiples.abs().max() > 1


def test_a_place_without_a_scale_and_a_scale_without_a_place_are_errors(network):
    activations, grids = read()
    missing = min(activations)
    others = {name: values for name, values in activations.items() if name != missing}
    with pytest.raises(KeyError, match=missing):
        int8_variant(network, others, grids)
    with pytest.raises(KeyError, match=f"{PLACE}99"):
        int8_variant(network, {**activations, f"{PLACE}99": (0.1, 0)}, grids)


def test_new_places_are_not_taken_for_old_ones():
    assert not fx_quantization.made_by({"pixels": (0.1, 3), "body.0": (0.2, 0)})
    assert not fx_quantization.made_by({})
