"""Integer kernels compute what the int8 variant says, in every block of networks for phones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from export.errors import ConversionFailed
from export.formats.torchscript.integers.kernels import IntegerLayer, in_integers
from export.formats.torchscript.integers.qnnpack import qnnpack
from pipeline.compress.activation_quantization import calibrate, int8_variant, rounded_places
from pipeline.compress.gptq import round_network, weighted_layers
from pipeline.models.batch_norm_folding import compressible_network
from pipeline.quantization_grid import Grid
from tests.pipeline.small_blocks import BODIES, small_block
from tests.pipeline.small_network import logits, small_network, smooth_images

SEEN, UNSEEN = smooth_images(), smooth_images(seed=9)
KINDS = ("fire", *BODIES)


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    with qnnpack():
        yield


def calibrated(kind: str) -> tuple[nn.Module, dict[str, Grid], Any]:
    network = small_network() if kind == "fire" else compressible_network(small_block(kind))
    grids = round_network(network, SEEN, dict.fromkeys(weighted_layers(network), 127), seed=0)
    return network, grids, int8_variant(network, calibrate(network, SEEN), grids)


@pytest.mark.parametrize("kind", KINDS)
def test_integer_kernels_compute_what_the_variant_says(kind: str) -> None:
    network, grids, variant = calibrated(kind)
    kernels = in_integers(variant, grids)
    assert not rounded_places(kernels)
    wanted, found = logits(variant, UNSEEN), logits(kernels, UNSEEN)
    lost = (wanted - logits(network, UNSEEN)).std()  # by 8 bits
    # Hardly any code may differ, by one.
    assert (found - wanted).abs().mean() < 0.02 * lost
    assert (found - wanted).abs().max() < 0.3 * lost


@pytest.mark.parametrize("kind", KINDS)
def test_integer_kernels_hold_the_codes_and_scales_of_the_grids(kind: str) -> None:
    network, grids, variant = calibrated(kind)
    kernels = in_integers(variant, grids)
    held = {n: m for n, m in kernels.named_modules() if isinstance(m, IntegerLayer)}
    assert sorted(held) == sorted(weighted_layers(network)[:-1])
    for name, layer in held.items():
        unpack = torch.ops.quantized.conv2d_unpack
        unpack = unpack if layer.is_convolution else torch.ops.quantized.linear_unpack
        weight, _ = unpack(layer.packed)
        grid = grids[f"{name}.weight"]
        assert torch.equal(weight.int_repr(), torch.from_numpy(grid.codes)), name
        assert torch.equal(weight.q_per_channel_scales().float(), torch.from_numpy(grid.scale))


def test_a_relu6_whose_scale_goes_beyond_it_is_still_cut() -> None:
    network, grids, variant = calibrated("depthwise")
    places = dict(rounded_places(variant))
    wide = {name: (float(p.scale), int(p.zero_point)) for name, p in places.items()}
    for name in wide:
        if name.startswith("body.3.conv.0"):
            wide[name] = (0.1, 0)  # up to 25.5
    with torch.no_grad():
        network.body[3].conv[0][0].bias.add_(20)
    variant = int8_variant(network, wide, grids)
    found = logits(in_integers(variant, grids), UNSEEN)
    assert (found - logits(variant, UNSEEN)).abs().max() < 0.05 * found.std()


def test_a_sum_of_scales_too_far_apart_for_the_kernel_is_in_floating_point() -> None:
    network, grids, variant = calibrated("layer norm")
    scales = {name: (float(p.scale), int(p.zero_point)) for name, p in rounded_places(variant)}
    (branch,) = [name for name in scales if name.endswith("mul")]
    scales[branch] = (1e-8, 128)
    variant = int8_variant(network, scales, grids)
    found = logits(in_integers(variant, grids), UNSEEN)
    assert (found - logits(variant, UNSEEN)).abs().max() < 0.02 * found.std()


def test_a_weight_that_is_not_what_its_grid_holds_is_refused_by_its_name() -> None:
    _, grids, variant = calibrated("fire")
    name = next(name for name in grids if name.endswith("weight"))
    with torch.no_grad():
        variant.get_parameter(name).view(-1)[1] += 0.25
    layer = re.escape(name.removesuffix(".weight"))
    with pytest.raises(ConversionFailed, match=rf"^{layer}: its weight is not codes times scale"):
        in_integers(variant, grids)
