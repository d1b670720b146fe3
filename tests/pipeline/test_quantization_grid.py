from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.errors import BadInput
from pipeline.quantization_grid import LEAST_SCALE, SCALE_BITS, Grid, check_grid, short_scale


def make_grid(levels: int = 7, shape: tuple[int, ...] = (5, 3, 3, 3), seed: int = 0) -> Grid:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-levels, levels, shape, endpoint=True).astype(np.int8)
    return Grid(codes, short_scale(rng.uniform(1e-3, 0.2, shape[0])), levels)


def significant_bits(number: float) -> int:
    """Of the mantissa, from the first one to the last."""
    numerator = Fraction(number).numerator
    return (numerator // (numerator & -numerator)).bit_length()


# --- what a grid represents


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 7)])
@pytest.mark.parametrize("levels", [3, 7, 127])
def test_a_weight_is_exactly_its_code_times_the_scale_of_its_row(levels, shape):
    grid = make_grid(levels, shape)
    weights = grid.weights()
    assert weights.dtype == np.float32
    assert weights.shape == shape
    for place in np.ndindex(shape):
        exact = int(grid.codes[place]) * Fraction(float(grid.scale[place[0]]))
        assert Fraction(float(weights[place])) == exact


@pytest.mark.parametrize("levels", [3, 7])
def test_weights_of_three_and_four_bits_are_the_same_numbers_in_fp16(levels):
    weights = make_grid(levels, (200, 15)).weights()
    assert np.array_equal(weights.astype(np.float16).astype(np.float32), weights)


def test_weights_of_eight_bits_need_more_than_fp16():
    weights = make_grid(127, (200, 15)).weights()
    assert not np.array_equal(weights.astype(np.float16).astype(np.float32), weights)


@pytest.mark.parametrize(("levels", "bits"), [(1, 2), (3, 3), (7, 4), (127, 8)])
def test_the_bits_of_a_code_are_its_sign_and_what_its_levels_take(levels, bits):
    assert make_grid(levels).bits == bits


def test_the_scale_multiplies_along_the_first_axis():
    grid = make_grid(shape=(4, 4))
    assert grid.scale_like(grid.codes).shape == (4, 1)
    assert make_grid(shape=(4, 4, 1, 1)).scale_like(np.zeros((4, 4, 1, 1))).shape == (4, 1, 1, 1)


# --- short scales


@pytest.mark.parametrize("magnitude", [1e-4, 1e-3, 1.0, 1e3])
def test_a_short_scale_has_at_most_eight_significant_bits(magnitude):
    given = np.random.default_rng(1).uniform(magnitude, 4 * magnitude, 500)
    short = short_scale(given)
    assert short.dtype == np.float32
    bits = {significant_bits(float(value)) for value in short}
    assert max(bits) == SCALE_BITS == 8


def test_no_number_of_eight_bits_is_nearer_than_the_short_scale():
    given = np.random.default_rng(2).uniform(0.25, 2.0, 300)
    for exact, found in zip(given, short_scale(given), strict=True):
        # Between 2^k and 2^(k+1) the numbers of eight bits lie 2^(k-7) apart.
        apart = 2.0 ** (np.floor(np.log2(exact)) - 7)
        below = np.floor(exact / apart) * apart
        nearest = min(below, below + apart, key=lambda number: abs(number - exact))
        assert found == nearest


def test_a_short_scale_stays_as_it_is():
    once = short_scale(np.random.default_rng(3).uniform(1e-4, 1, 200))
    assert np.array_equal(short_scale(once), once)


def test_no_scale_is_below_the_least_and_the_least_is_exact_in_fp16_with_every_code():
    assert short_scale(np.array([0.0, 1e-9, LEAST_SCALE])).tolist() == [LEAST_SCALE] * 3
    next_above = LEAST_SCALE * (1 + 2.0**-7)
    scale = np.array([LEAST_SCALE, next_above], np.float32)
    assert np.array_equal(short_scale(scale), scale)
    codes = np.tile(np.arange(-7, 8, dtype=np.int8), (2, 1))
    grid = Grid(codes, scale, 7)
    check_grid(grid, "w")
    assert np.array_equal(grid.weights().astype(np.float16).astype(np.float32), grid.weights())


def test_a_scale_just_below_a_power_of_two_becomes_the_power():
    assert short_scale(np.array([0.5 - 1e-9])) == np.float32(0.5)


# --- what is no grid


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 7)])
@pytest.mark.parametrize("levels", [3, 7, 127])
def test_a_grid_passes_its_own_check(levels, shape):
    check_grid(make_grid(levels, shape), "body.0.weight")


def with_code(code: int, levels: int) -> Grid:
    grid = make_grid(levels)
    codes = grid.codes.copy()
    codes[0, 0, 0, 0] = code
    return replace(grid, codes=codes)


def with_scale(value: float) -> Grid:
    grid = make_grid()
    scale = grid.scale.copy()
    scale[-1] = value
    return replace(grid, scale=scale)


WRONG = {
    "a code above": (with_code(8, 7), "a code is beyond the 7 levels"),
    "a code below": (with_code(-4, 3), "a code is beyond the 3 levels"),
    "int8's lowest, whose abs overflows": (with_code(-128, 127), "beyond the 127 levels"),
    "scale 0": (with_scale(0.0), "not a number of at least"),
    "scale negative": (with_scale(-0.5), "not a number of at least"),
    "scale NaN": (with_scale(float("nan")), "not a number of at least"),
    "scale below the least": (with_scale(LEAST_SCALE / 2), "not a number of at least"),
    "scale infinite": (with_scale(float("inf")), "not a number of at least"),
    "scale of nine bits": (with_scale(257 / 512), "more than 8 significant bits"),
    "one scale too few": (replace(make_grid(), scale=make_grid().scale[1:]), "do not fit"),
    "scale of two axes": (replace(make_grid(), scale=make_grid().scale[:, None]), "do not fit"),
    "codes of one axis": (make_grid(shape=(5,)), "do not fit"),
    "codes of three axes": (make_grid(shape=(5, 3, 3)), "do not fit"),
}


@pytest.mark.parametrize(("grid", "message"), WRONG.values(), ids=WRONG)
def test_what_is_no_grid_is_refused_by_name(grid, message):
    with pytest.raises(BadInput, match=f"^body.0.weight: .*{message}"):
        check_grid(grid, "body.0.weight")


def test_the_highest_and_the_lowest_code_are_allowed():
    check_grid(with_code(7, 7), "w")
    check_grid(with_code(-7, 7), "w")
