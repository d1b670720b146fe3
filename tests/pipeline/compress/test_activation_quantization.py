from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.compress.activation_quantization import (
    calibrate,
    int8_variant,
    rounded_places,
    unrounded_variant,
)
from pipeline.compress.activation_ranges import QUANT_MAX, Watch
from pipeline.compress.gptq import round_network, weighted_layers
from pipeline.compress.rounding_places import is_place, kernel_of
from pipeline.quantization_grid import Grid
from tests.pipeline.small_network import logits, small_network, smooth_images

FIRST = "pixels"
SEEN, UNSEEN = smooth_images(seed=0), smooth_images(seed=9)


@dataclass(frozen=True)
class Calibrated:
    """A network on grids of 8 bits, and the scales of its activations."""

    network: nn.Module
    grids: Mapping[str, Grid]
    activations: Mapping[str, tuple[float, int]]

    def variant(self) -> Any:
        return int8_variant(self.network, self.activations, self.grids)


@pytest.fixture(scope="module")
def calibrated() -> Calibrated:
    network = small_network()
    grids = round_network(network, SEEN, dict.fromkeys(weighted_layers(network), 127), seed=0)
    return Calibrated(network, grids, calibrate(network, SEEN))


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def rounded_layers(variant: Any) -> list[tuple[str, Any, str]]:
    """Name, layer and the place of its input, for every layer that takes 8-bit inputs."""
    found = []
    for place in filter(is_place, variant.graph.nodes):
        kernel = kernel_of(place)
        if kernel is not None and kernel.kind == "layer":
            name, before = str(kernel.node.target), str(kernel.operands[0].target)
            found.append((name, variant.get_submodule(name), variant.get_submodule(before)))
    return found


# --- calibration


def test_calibration_finds_a_scale_and_a_zero_point_for_every_place(calibrated):
    places = calibrated.activations
    assert FIRST in places
    # Pixels, first ReLU with its pooling, and per fire module squeeze and the two expansions.
    assert list(places) == [
        *(FIRST, "body.1", "body.3.squeeze_activation", "body.3.expand1x1_activation"),
        *("body.4.squeeze_activation", "body.4.expand1x1_activation"),
    ]
    for scale, zero_point in places.values():
        assert type(scale) is float
        assert type(zero_point) is int
        assert scale > 0
        assert 0 <= zero_point <= QUANT_MAX


def test_the_range_of_the_pixels_is_about_that_of_the_images(calibrated):
    scale, zero_point = calibrated.activations[FIRST]
    low, high = (0 - zero_point) * scale, (QUANT_MAX - zero_point) * scale
    pixels = torch.cat(SEEN)
    for edge, quantile, extreme in ((low, 0.001, pixels.min()), (high, 0.999, pixels.max())):
        typical = torch.quantile(pixels.flatten()[:100_000], quantile).item()
        assert abs(edge) > 0.8 * abs(typical)
        assert abs(edge) < 1.1 * abs(extreme.item())


def test_what_a_relu_puts_out_needs_no_code_below_zero(calibrated):
    zero_points = {name: zero for name, (_, zero) in calibrated.activations.items()}
    assert zero_points.pop(FIRST) > 0
    assert set(zero_points.values()) == {0}


def test_calibration_looks_at_every_batch():
    network = small_network()
    louder = [SEEN[0], 10 * SEEN[1]]
    quiet, loud = (calibrate(network, images)[FIRST][0] for images in (SEEN[:1], louder))
    assert loud > 3 * quiet


def test_the_same_images_give_the_same_scales(calibrated):
    torch.rand(7)
    assert calibrate(calibrated.network, iter(SEEN)) == calibrated.activations


def test_calibration_does_not_change_the_network():
    network = small_network()
    before = state(network)
    calibrate(network, SEEN)
    assert same(state(network), before)
    assert not rounded_places(network)


def test_without_images_there_is_nothing_to_calibrate_with():
    with pytest.raises(ValueError, match="no images"):
        calibrate(small_network(), [])


# --- the variant


def test_the_variant_gives_nearly_the_networks_outputs(calibrated):
    wanted, found = logits(calibrated.network, UNSEEN), logits(calibrated.variant(), UNSEEN)
    assert not torch.equal(found, wanted)  # or nothing was rounded
    assert (found - wanted).abs().max() < 0.15 * wanted.std(0).min()


def test_coarser_scales_show_in_the_outputs(calibrated):
    coarse = {
        name: (4 * scale, zero // 4) for name, (scale, zero) in calibrated.activations.items()
    }
    variant = int8_variant(calibrated.network, coarse, calibrated.grids)
    wanted = logits(calibrated.network, UNSEEN)
    errors = [(logits(n, UNSEEN) - wanted).abs().mean() for n in (calibrated.variant(), variant)]
    assert errors[1] > 2 * errors[0]


def test_every_activation_is_one_of_256_values_at_its_scale(calibrated):
    variant, checked = calibrated.variant(), []

    def look(name: str) -> Any:
        def hook(place: Any, _: Any, output: Tensor) -> None:
            scale, zero_point = place.scale.item(), place.zero_point.item()
            codes = output / scale + zero_point
            assert (codes - codes.round()).abs().max() < 1e-3, name
            assert 0 <= codes.min().round() <= codes.max().round() <= QUANT_MAX, name
            if name in calibrated.activations:
                expected = calibrated.activations[name]
                assert (scale, zero_point) == (pytest.approx(expected[0]), expected[1])
            checked.append(name)

        return hook

    for name, place in rounded_places(variant):
        place.register_forward_hook(look(name))
    logits(variant, UNSEEN[:1])
    assert set(checked) == set(calibrated.activations)
    assert len(checked) == 11  # pooling and concatenation pass through the same places again


def test_the_last_layers_output_stays_in_floating_point(calibrated):
    variant, outputs = calibrated.variant(), []
    variant.get_submodule("head.1").register_forward_hook(lambda *_: outputs.append(_[-1]))
    logits(variant, UNSEEN)
    assert len(torch.unique(torch.cat(outputs))) > 2 * (QUANT_MAX + 1)
    last = next(n for n in reversed(variant.graph.nodes) if n.op == "call_module")
    assert last.target == "head.1"


def test_a_bias_is_a_multiple_of_input_scale_times_weight_scale(calibrated):
    layers = rounded_layers(calibrated.variant())
    assert [name for name, *_ in layers] == weighted_layers(calibrated.network)[:-1]
    for name, layer, place in layers:
        weight_scale = torch.from_numpy(calibrated.grids[f"{name}.weight"].scale)
        multiples = layer.bias.double() / (place.scale.double() * weight_scale.double())
        assert (multiples - multiples.round()).abs().max() < 1e-3, name
        assert multiples.abs().max() > 1, name
        original = calibrated.network.get_submodule(name).bias
        step = place.scale * weight_scale
        assert torch.all((layer.bias - original).abs() <= 0.501 * step), name


def test_the_bias_of_the_last_layer_is_not_rounded(calibrated):
    variant = calibrated.variant()
    bias = calibrated.network.get_submodule("head.1").bias
    assert torch.equal(variant.get_submodule("head.1").bias, bias)


def test_the_variant_holds_the_weights_of_the_grids(calibrated):
    for name, layer, _ in rounded_layers(calibrated.variant()):
        grid = calibrated.grids[f"{name}.weight"]
        assert torch.equal(layer.weight, torch.from_numpy(grid.weights())), name


def test_making_a_variant_does_not_change_the_network(calibrated):
    before = state(calibrated.network)
    answers = logits(calibrated.network, UNSEEN)
    calibrated.variant()
    assert same(state(calibrated.network), before)
    assert torch.equal(logits(calibrated.network, UNSEEN), answers)


def test_a_place_without_a_scale_is_an_error(calibrated):
    for missing in calibrated.activations:
        others = {k: v for k, v in calibrated.activations.items() if k != missing}
        with pytest.raises(KeyError, match=missing):
            int8_variant(calibrated.network, others, calibrated.grids)


def test_a_scale_for_a_place_that_is_not_there_is_an_error(calibrated):
    more = {**calibrated.activations, "body.99": (0.1, 0)}
    with pytest.raises(KeyError, match=r"body\.99"):
        int8_variant(calibrated.network, more, calibrated.grids)


def test_a_layer_without_a_bias_has_a_variant_too(calibrated):
    network = copy.deepcopy(calibrated.network)
    network.get_submodule("body.0").bias = None
    activations = calibrate(network, SEEN)
    variant = int8_variant(network, activations, calibrated.grids)
    wanted = logits(network, UNSEEN)
    assert (logits(variant, UNSEEN) - wanted).abs().max() < 0.15 * wanted.std(0).min()


def test_the_teachers_variant_is_traced_alike_and_rounds_nothing(calibrated):
    plain = unrounded_variant(calibrated.network, calibrated.activations)
    ours, theirs = ([name for name, _ in rounded_places(v)] for v in (plain, calibrated.variant()))
    assert ours == theirs
    wanted = logits(calibrated.network, UNSEEN)
    assert torch.allclose(logits(plain, UNSEEN), wanted, atol=1e-5)


# --- ranges


def ranges(*values: Tensor) -> tuple[float, int]:
    watch = Watch()
    for value in values:
        watch(value)
    watch.count()
    for value in values:
        watch(value)
    return watch.scale()


def test_a_few_values_far_out_are_cut_where_that_costs_the_others_less():
    usual = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0))
    scale, zero_point = ranges(usual)
    assert scale == pytest.approx(1 / QUANT_MAX, rel=0.02)
    assert zero_point == 0
    # With steps of r / 255 the error is 1e6 (r / 255)^2 / 12 + (3 - r)^2, least at r = 1.31.
    wide, _ = ranges(usual, torch.tensor([3.0]))
    assert wide == pytest.approx(1.31 / QUANT_MAX, rel=0.1)


def test_zero_is_a_code_whatever_the_values_are():
    for values in (torch.zeros(9), torch.full((9,), 3.0), torch.full((9,), -3.0)):
        scale, zero_point = ranges(values)
        assert scale > 0
        assert 0 <= zero_point <= QUANT_MAX
        rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, QUANT_MAX)
        assert torch.allclose(rounded, values, atol=scale)
