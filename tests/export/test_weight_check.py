from __future__ import annotations

import numpy as np
import pytest

from export.layers import Layer
from export.weight_check import weight_violations

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)


def layer(weight: np.ndarray = WEIGHT, bias: np.ndarray | None = BIAS, kind: str = "conv") -> Layer:
    tensors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return Layer(kind, "layer", tensors)


def violations(stored: list[Layer], expected: list[Layer], folded: bool = False) -> list[str]:
    return weight_violations(stored, expected, folded)


def test_equal_weights_and_their_fp16_rounding_pass() -> None:
    half = layer(WEIGHT.astype(np.float16), BIAS.astype(np.float16))
    assert violations([layer()], [layer()]) == []
    assert violations([half], [layer()]) == []


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_smallest_change_of_one_value_is_named_with_its_place(dtype: type) -> None:
    changed = WEIGHT.astype(dtype).copy()
    changed[1, 2, 0, 1] = np.nextafter(changed[1, 2, 0, 1], dtype(np.inf))
    (said,) = violations([layer(changed, BIAS.astype(dtype))], [layer()])
    assert said.startswith("layer.weight: 1 of 108 values")
    assert "[1, 2, 0, 1]" in said


def test_not_a_number_is_never_equal() -> None:
    broken = WEIGHT.copy()
    broken[0, 0, 0, 0] = np.nan
    assert violations([layer(broken)], [layer()])
    assert violations([layer(broken)], [layer()], folded=True)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_folded_weight_may_be_one_unit_of_fp16_off_and_not_two(sign: int) -> None:
    wanted = np.full((1, 1, 1, 1), sign * 0.0625, np.float32)  # a power of two, either sign
    unit = np.spacing(np.float16(0.0625))
    for units, clean in ((1, True), (2, False)):
        stored = (wanted.astype(np.float16) + np.float16(units) * unit).astype(np.float16)
        found = violations([layer(stored, None)], [layer(wanted, None)], folded=True)
        assert (found == []) is clean


def test_a_missing_bias_counts_as_zeros() -> None:
    assert violations([layer(bias=np.zeros(4, np.float32))], [layer(bias=None)]) == []
    assert violations([layer(bias=None)], [layer(bias=np.zeros(4, np.float32))]) == []
    assert violations([layer(bias=None)], [layer()])


def test_swapped_layers_of_one_shape_are_found_and_other_shapes_may_come_in_any_order() -> None:
    twin, other = layer(WEIGHT[::-1].copy()), layer(WEIGHT[:, :, :1].copy())
    assert violations([twin, layer()], [layer(), twin])
    assert violations([other, layer()], [layer(), other]) == []


def test_layers_too_many_or_too_few_are_found() -> None:
    assert "not in the file" in violations([], [layer()])[0]
    assert "the checkpoint has no such" in violations([layer(), layer()], [layer()])[0]
