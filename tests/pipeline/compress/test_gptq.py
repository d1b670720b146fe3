from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.compress import gptq
from pipeline.compress.gptq import (
    SLACK,
    best_scale,
    input_moments,
    round_network,
    round_weight,
    weighted_layers,
)
from pipeline.errors import BadInput
from pipeline.models.networks import build_network
from pipeline.quantization_grid import Grid, check_grid
from tests.pipeline.small_network import logits, small_network, smooth_images

RNG = np.random.default_rng


def correlated_inputs(columns: int, count: int = 400, seed: int = 0) -> np.ndarray:
    """(count, columns): a few causes seen through every column, and a little of its own."""
    rng = RNG(seed)
    causes = rng.normal(size=(count, 3)) @ rng.normal(size=(3, columns))
    return causes + 0.2 * rng.normal(size=(count, columns))


def some_weight(rows: int = 8, columns: int = 24, seed: int = 1) -> np.ndarray:
    return RNG(seed).normal(0, 0.1, (rows, columns)).astype(np.float32)


def nearest(weight: np.ndarray, grid: Grid) -> np.ndarray:
    """Plain rounding to the same grid."""
    codes = np.round(weight / grid.scale_like(weight).astype(np.float64))
    return np.clip(codes, -grid.levels, grid.levels) * grid.scale_like(weight)


def output_error(weight: np.ndarray, rounded: np.ndarray, inputs: np.ndarray) -> float:
    return float(np.mean((inputs @ (weight - rounded).reshape(len(weight), -1).T) ** 2))


# --- one weight


@pytest.mark.parametrize("levels", [3, 7, 127])
def test_where_inputs_have_nothing_to_do_with_each_other_it_is_plain_rounding(levels):
    weight = some_weight()
    grid = round_weight(weight, np.diag(RNG(2).uniform(0.1, 4.0, 24)), levels)
    assert np.array_equal(grid.weights(), nearest(weight, grid).astype(np.float32))


@pytest.mark.parametrize("levels", [3, 7])
def test_where_inputs_go_together_outputs_change_less_than_by_plain_rounding(levels):
    weight, inputs = some_weight(), correlated_inputs(24)
    grid = round_weight(weight, inputs.T @ inputs / len(inputs), levels)
    plain = output_error(weight, nearest(weight, grid), inputs)
    assert output_error(weight, grid.weights(), inputs) < 0.5 * plain


def test_what_was_learned_from_some_inputs_holds_for_others():
    weight = some_weight()
    seen, unseen = np.split(correlated_inputs(24), 2)
    grid = round_weight(weight, seen.T @ seen / len(seen), 7)
    plain = output_error(weight, nearest(weight, grid), unseen)
    assert output_error(weight, grid.weights(), unseen) < 0.5 * plain


@pytest.mark.parametrize("levels", [3, 7, 127])
def test_no_code_is_beyond_the_levels_even_where_weights_are(levels):
    weight = RNG(3).standard_t(2, (8, 24)).astype(np.float32)  # a few are far out
    inputs = correlated_inputs(24)
    grid = round_weight(weight, inputs.T @ inputs / len(inputs), levels)
    check_grid(grid, "weight")
    assert grid.levels == levels
    assert np.abs(grid.codes).max() == levels
    if levels < 127:
        assert np.abs(weight / grid.scale_like(weight)).max() > levels + 0.5  # some were cut


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (6, 36)])
def test_codes_have_the_shape_of_the_weight_and_the_order_of_its_columns(shape):
    flat = some_weight(6, 36)
    inputs = correlated_inputs(36)
    moments = inputs.T @ inputs / len(inputs)
    grid = round_weight(flat.reshape(shape), moments, 127)
    assert grid.codes.shape == shape
    assert grid.codes.dtype == np.int8
    assert np.array_equal(grid.codes.reshape(6, 36), round_weight(flat, moments, 127).codes)
    # 8 bits are so fine that a column in another's place would be seen.
    assert np.abs(grid.weights().reshape(6, 36) - flat).max() < 0.1 * np.abs(flat).max()


def test_a_column_counts_as_much_as_its_inputs():
    """One wide weight that no image ever uses much must not coarsen the grid of the others."""
    weight = some_weight(1, 24)
    weight[0, 5] = 0.9
    quiet, loud = np.ones(24), np.ones(24)
    quiet[5] = 1e-6
    fine = round_weight(weight, np.diag(quiet), 7)
    coarse = round_weight(weight, np.diag(loud), 7)
    assert fine.scale[0] < 0.7 * coarse.scale[0]
    others = np.arange(24) != 5
    errors = [np.abs(g.weights() - weight)[:, others].mean() for g in (fine, coarse)]
    assert errors[0] < errors[1]


def test_an_input_that_is_always_zero_does_no_harm():
    weight, inputs = some_weight(), correlated_inputs(24)
    inputs[:, [3, 17]] = 0
    grid = round_weight(weight, inputs.T @ inputs / len(inputs), 7)
    check_grid(grid, "weight")
    unused = np.isin(np.arange(24), [3, 17])
    plain = nearest(weight, grid)
    assert np.allclose(grid.weights()[:, unused], plain[:, unused])  # nothing to make up for
    assert output_error(weight, grid.weights(), inputs) < output_error(weight, plain, inputs)


def test_an_input_that_is_always_zero_hardly_coarsens_the_grid_of_the_others():
    weight, inputs = some_weight(), 0.03 * correlated_inputs(24)
    inputs[:, 3] = 0
    wide = weight.copy()
    wide[:, 3] *= 8
    moments = inputs.T @ inputs / len(inputs)
    found, wanted = (round_weight(w, moments, 3) for w in (wide, weight))
    assert np.median(found.scale / wanted.scale) < 1.1


def unused_noise(weight: np.ndarray, moments: np.ndarray, times: float) -> tuple[np.ndarray, ...]:
    """The weight, and five times as many columns that no image uses, of weights so much larger."""
    noise = times * some_weight(len(weight), 5 * weight.shape[1], seed=7)
    wider = np.zeros((6 * len(moments),) * 2)
    wider[: len(moments), : len(moments)] = moments
    return np.hstack([weight, noise]).astype(np.float32), wider


@pytest.mark.parametrize("levels", [1, 3, 7, 127])
@pytest.mark.parametrize("times", [0.01, 1, 30, 1000])
def test_weights_that_no_image_uses_set_no_scale(levels, times):
    weight, inputs = some_weight(), correlated_inputs(24)
    moments = inputs.T @ inputs / len(inputs)
    noisy, wider = unused_noise(weight, moments, times)
    alone, among = round_weight(weight, moments, levels), round_weight(noisy, wider, levels)
    assert np.median(among.scale / alone.scale) == pytest.approx(1, abs=0.15)
    errors = [output_error(weight, g.weights()[:, :24], inputs) for g in (among, alone)]
    assert errors[0] < 1.5 * errors[1]


def test_a_strong_input_sets_the_scale_however_wide_the_weights_of_weak_ones_are():
    """As in the head of a network whose frozen features were standardised: weights of 0.01 for what
    is always seen, of 6 for what one image in a thousand shows a trace of.
    """
    weight, power = some_weight(), np.full(24, 1e3)
    weight[:, 12:] *= 300
    power[12:] = 1e-5
    grid = round_weight(weight, np.diag(power), 127)
    off = np.abs(grid.weights() - weight)[:, :12]
    assert off.max() < 0.01 * np.abs(weight[:, :12]).max()


def test_weights_of_the_usual_size_that_no_image_uses_are_not_cut():
    """Images unlike those calibrated with may use them."""
    weight, inputs = some_weight(64), correlated_inputs(24)
    noisy, wider = unused_noise(weight, inputs.T @ inputs / len(inputs), times=1)
    grid = round_weight(noisy, wider, 127)
    missing = (grid.weights() - noisy)[:, 24:]
    assert np.mean(missing**2) < 0.01 * np.mean(noisy[:, 24:] ** 2)


def test_a_row_that_uses_only_inputs_no_image_has_is_not_cut():
    weight, inputs = np.zeros((3, 24), np.float32), correlated_inputs(24)
    noisy, wider = unused_noise(weight, inputs.T @ inputs / len(inputs), times=0)
    noisy[:, 30:] = 40 * some_weight(3, len(noisy[0]) - 30)
    grid = round_weight(noisy, wider, 127)
    assert np.abs(grid.weights() - noisy).max() < 0.01 * np.abs(noisy).max()


@pytest.mark.parametrize("levels", [3, 127])
def test_what_no_image_uses_costs_what_they_do_use_a_tenth_at_most(levels):
    rng = RNG(5)
    rows = rng.standard_t(3, (32, 60))
    rows[:, 30:] *= rng.uniform(0.1, 50, (32, 1))
    importance = np.where(np.arange(60) < 30, rng.uniform(0.1, 10, 60), 0)

    def error(scale: np.ndarray) -> np.ndarray:
        steps = scale.astype(np.float64)[:, None]
        return (np.clip(np.round(rows / steps), -levels, levels) * steps - rows) ** 2 @ importance

    with_all = error(best_scale(rows, importance, levels))
    without = error(best_scale(rows * (importance > 0), importance, levels))
    assert with_all.sum() < (1 + SLACK) * without.sum()


def test_inputs_that_are_all_zero_leave_plain_rounding():
    weight = some_weight()
    grid = round_weight(weight, np.zeros((24, 24)), 7)
    assert np.array_equal(grid.weights(), nearest(weight, grid).astype(np.float32))


def test_a_row_of_zeros_stays_zero_on_a_grid_that_is_one():
    weight = some_weight()
    weight[2] = 0
    grid = round_weight(weight, np.eye(24), 7)
    check_grid(grid, "weight")
    assert not grid.codes[2].any()


def test_the_moments_given_are_not_changed():
    moments = np.zeros((24, 24))
    round_weight(some_weight(), moments, 7)
    assert not moments.any()


# --- the moments of a layer's inputs


@pytest.fixture
def seen_moments(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The moments that each weight was rounded with, in turn."""
    kept: list[np.ndarray] = []

    def look(weight: np.ndarray, moments: np.ndarray, levels: int) -> Grid:
        kept.append(moments.copy())
        return round_weight(weight, moments, levels)

    monkeypatch.setattr(gptq, "round_weight", look)
    return kept


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "dilation": 2, "padding": 2},
        {"kernel_size": (3, 1), "padding": (1, 0)},
    ],
    ids=str,
)
def test_the_moments_of_a_convolution_give_the_power_of_its_outputs(options, seen_moments):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, bias=False, **options)
    images = smooth_images(batches=2, side=16)
    with torch.no_grad():
        power = torch.cat([layer(pixels) for pixels in images]).double().pow(2).mean((0, 2, 3))
    weight = layer.weight.detach().double().reshape(4, -1).numpy()
    round_network(nn.Sequential(layer), images, {"0": 127}, seed=0)
    (moments,) = seen_moments
    told = np.einsum("od,de,oe->o", weight, moments / len(images), weight)
    assert told == pytest.approx(power.numpy(), rel=1e-5)


def test_a_large_map_is_looked_at_in_some_places_that_follow_the_seed(seen_moments):
    images = smooth_images(batches=1, size=2, side=64)
    for seed in (0, 0, 1):
        round_network(nn.Sequential(nn.Conv2d(3, 2, 3)), images, {"0": 127}, seed)
    first, again, other = seen_moments
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # Either way it is a fair sample of all positions.
    assert np.diag(first) == pytest.approx(np.diag(other), rel=0.3)


def test_a_layer_is_rounded_for_what_the_rounded_layers_before_it_put_out(seen_moments):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    before = copy.deepcopy(network)
    inputs = torch.from_numpy(correlated_inputs(6)).float()
    round_network(network, [inputs], {"0": 3, "2": 3}, seed=0)

    def moments(first: nn.Module) -> np.ndarray:
        with torch.no_grad():
            hidden = torch.relu(first(inputs)).double().numpy()
        return hidden.T @ hidden / len(hidden)

    assert seen_moments[1] == pytest.approx(moments(network[0]), rel=1e-9)
    assert seen_moments[1] != pytest.approx(moments(before[0]), rel=1e-3)


def test_the_moments_of_all_layers_can_be_had_in_one_pass(seen_moments):
    network, images = small_network(), smooth_images()
    names = weighted_layers(network)
    found = input_moments(network, names, images, seed=0)
    assert list(found) == names
    assert {n: len(m) for n, m in found.items()} == {
        n: network.get_submodule(n).weight[0].numel() for n in names
    }
    # Hardly rounded, a layer's inputs are those of the network as it is.
    round_network(copy.deepcopy(network), images, dict.fromkeys(names, 127), seed=0)
    for name, seen in zip(names, seen_moments, strict=True):
        assert found[name] == pytest.approx(seen, rel=0.05, abs=0.02 * seen.max()), name
    assert not any(module._forward_pre_hooks for module in network.modules())


# --- a network


LEVELS = {"body.0": 127, "body.3.squeeze": 7, "body.3.expand1x1": 7, "body.3.expand3x3": 7}
LEVELS |= {"body.4.squeeze": 3, "body.4.expand1x1": 3, "body.4.expand3x3": 3, "head.1": 127}


def test_the_layers_of_a_network_are_found_in_the_order_they_are_called_in():
    assert weighted_layers(small_network()) == list(LEVELS)
    names = weighted_layers(build_network("squeezenet1_1", 2))
    assert len(names) == 26
    assert (names[0], names[1], names[-1]) == ("body.0", "body.3.squeeze", "head.1")


def test_every_weight_lies_on_its_grid_and_every_bias_is_a_number_of_fp16():
    network = small_network()
    grids = round_network(network, smooth_images(), LEVELS, seed=0)
    assert {name: grid.levels for name, grid in grids.items()} == {
        f"{name}.weight": levels for name, levels in LEVELS.items()
    }
    for name, parameter in network.named_parameters():
        if name.endswith(".weight"):
            check_grid(grids[name], name)
            assert torch.equal(parameter, torch.from_numpy(grids[name].weights())), name
        else:
            assert torch.equal(parameter, parameter.half().float()), name


def test_linear_layers_and_layers_without_a_bias_are_rounded_too():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3))
    inputs = torch.from_numpy(correlated_inputs(6)).float()
    assert weighted_layers(network) == ["0", "2"]
    grids = round_network(network, [inputs], {"0": 7, "2": 7}, seed=0)
    for i in (0, 2):
        weights = torch.from_numpy(grids[f"{i}.weight"].weights())
        assert torch.equal(network[i].weight, weights)
    assert torch.equal(network[2].bias, network[2].bias.half().float())


def test_a_linear_layer_may_have_inputs_of_more_axes(seen_moments):
    inputs = torch.from_numpy(correlated_inputs(6)).float()
    for shaped in (inputs, inputs.reshape(4, 100, 6)):
        torch.manual_seed(0)
        round_network(nn.Sequential(nn.Linear(6, 5)), [shaped], {"0": 7}, seed=0)
    assert seen_moments[0] == pytest.approx(seen_moments[1])


def test_a_rounded_network_is_nearer_to_the_original_than_one_rounded_plainly():
    images, unseen = smooth_images(), smooth_images(seed=9)
    errors = []
    for seed in range(3):
        network = small_network(seed)
        plain, rounded = copy.deepcopy(network), copy.deepcopy(network)
        round_network(rounded, images, dict.fromkeys(LEVELS, 3), seed=0)
        with torch.no_grad():
            for name in LEVELS:
                weight = plain.get_submodule(name).weight
                grid = round_weight(weight.numpy(), np.eye(weight[0].numel()), 3)
                weight.copy_(torch.from_numpy(grid.weights()))
        wanted = logits(network, unseen)
        errors.append([(logits(n, unseen) - wanted).abs().mean().item() for n in (rounded, plain)])
    with_images, without = np.mean(errors, axis=0)
    assert with_images < 0.8 * without


def test_the_same_seed_gives_the_same_codes_whatever_happened_before():
    images = smooth_images(side=64)
    first = round_network(small_network(), images, LEVELS, seed=4)
    torch.rand(7)
    again = round_network(small_network(), images, LEVELS, seed=4)
    for name, grid in first.items():
        assert grid.codes.tobytes() == again[name].codes.tobytes(), name
        assert grid.scale.tobytes() == again[name].scale.tobytes(), name


@pytest.mark.parametrize("levels", [7, 127])
def test_a_head_full_of_weights_for_features_that_no_image_has_is_rounded_as_well_as_without(
    levels,
):
    images, unseen = smooth_images(), smooth_images(seed=9)
    network = small_network()
    with torch.no_grad():
        network.get_submodule("body.4.expand1x1").bias.fill_(-1e3)  # it never answers
        noisy = copy.deepcopy(network)
        noisy.get_submodule("head.1").weight[:, :8] *= 100
    wanted, errors = logits(network, unseen), []
    assert torch.equal(logits(noisy, unseen), wanted)
    for rounded in (network, noisy):
        round_network(rounded, images, {"head.1": levels}, seed=0)
        errors.append((logits(rounded, unseen) - wanted).abs().mean().item())
    assert errors[1] < 3 * errors[0]  # 30 to 80 times, if those weights had a say


def test_no_hook_stays_on_the_network():
    network = small_network()
    round_network(network, smooth_images(), LEVELS, seed=0)
    assert logits(network, smooth_images()).shape == (32, 2)
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_network_with_a_layer_that_has_no_grid_yet_is_refused_by_name():
    with pytest.raises(BadInput, match="1 is a ConvTranspose2d, which cannot be compressed yet"):
        weighted_layers(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 3)))
    with pytest.raises(BadInput, match="no convolution and no linear layer"):
        weighted_layers(nn.Sequential(nn.ReLU()))


# --- groups, and layers that are not in a row


@pytest.mark.parametrize("levels", [3, 127])
def test_each_group_of_outputs_is_rounded_by_the_moments_of_its_own_inputs(levels):
    weight = some_weight(8, 24)
    inputs = [correlated_inputs(24, seed=seed) for seed in (0, 5)]
    moments = np.stack([x.T @ x / len(x) for x in inputs])
    grid = round_weight(weight, moments, levels)
    for group, rows in enumerate(np.split(np.arange(8), 2)):
        alone = round_weight(weight[rows], moments[group], levels)
        assert np.array_equal(grid.codes[rows], alone.codes)
        assert np.array_equal(grid.scale[rows], alone.scale)


def test_a_group_that_no_image_uses_is_rounded_plainly():
    weight, inputs = some_weight(8, 24), correlated_inputs(24)
    used = inputs.T @ inputs / len(inputs)
    grid = round_weight(weight, np.stack([used, np.zeros_like(used)]), 7)
    check_grid(grid, "weight")
    assert np.allclose(grid.weights()[4:], nearest(weight, grid)[4:])


@pytest.mark.parametrize("groups", [2, 4], ids=["grouped", "depthwise"])
def test_the_moments_of_a_grouped_convolution_are_those_of_each_groups_patches(groups):
    layer = nn.Conv2d(4, 8, 3, padding=1, groups=groups)
    images = [torch.randn(5, 4, 6, 6, generator=torch.Generator().manual_seed(0))]
    found = input_moments(nn.Sequential(layer), ["0"], images, seed=0)["0"]
    columns = 9 * 4 // groups
    assert found.shape == (groups, columns, columns)
    patches = nn.functional.unfold(images[0], 3, padding=1).transpose(0, 1).reshape(36, -1)
    for group, rows in enumerate(patches.double().numpy().reshape(groups, columns, -1)):
        assert np.allclose(found[group], rows @ rows.T / rows.shape[1])


def test_a_layer_that_is_never_called_stays_as_it_is():
    network = small_network()
    network.spare = nn.Conv2d(3, 4, 3)
    before = network.spare.weight.clone()
    names = weighted_layers(network)
    assert "spare" in names
    grids = round_network(network, smooth_images(), dict.fromkeys(names, 7), seed=0)
    assert grids.keys() == {f"{name}.weight" for name in names if name != "spare"}
    assert torch.equal(network.spare.weight, before)
