from __future__ import annotations

import numpy as np
import pytest

from export.deploy.batch_norm_folding import as_scale
from export.deploy.layers import Layer
from export.parity.weights import weight_violations

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)


def layer(weight: np.ndarray = WEIGHT, bias: np.ndarray | None = BIAS, kind: str = "conv") -> Layer:
    tensors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return Layer(kind, "layer", tensors)


def violations(stored: list[Layer], expected: list[Layer]) -> list[str]:
    return weight_violations(stored, expected)


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


SMALLEST = np.finfo(np.float16).smallest_subnormal


@pytest.mark.parametrize(
    ("wanted", "stored", "equal"),
    [
        (3e-11, 0.0, True),
        (3e-11, SMALLEST, True),  # coremltools lets no value vanish
        (-3e-11, -SMALLEST, True),
        (3e-11, -SMALLEST, False),
        (0.0, SMALLEST, False),
        (3e-11, 2 * SMALLEST, False),
        (1e-7, SMALLEST, False),  # it rounds to two of them
    ],
)
def test_what_fp16_rounds_to_zero_may_be_its_smallest_number(
    wanted: float, stored: float, equal: bool
) -> None:
    right, found = BIAS.copy(), BIAS.astype(np.float16)
    right[2], found[2] = wanted, stored
    said = violations([layer(WEIGHT.astype(np.float16), found)], [layer(WEIGHT, right)])
    assert (said == []) == equal


def test_not_a_number_is_never_equal() -> None:
    broken = WEIGHT.copy()
    broken[0, 0, 0, 0] = np.nan
    assert violations([layer(broken)], [layer()])


def norm(**changes: float) -> Layer:
    rng = np.random.default_rng(1)
    tensors = {
        key: rng.uniform(0.5, 2, 4).astype(np.float32)
        for key in ("weight", "bias", "mean", "variance")
    } | {"epsilon": np.array(1e-5, np.float32)}
    moved = {key: tensors[key] + np.float32(change) for key, change in changes.items()}
    return Layer("batch_norm", "norm", tensors | moved)


@pytest.mark.parametrize("key", ["weight", "bias", "mean", "variance", "epsilon"])
def test_no_tensor_of_a_batch_norm_may_differ_however_it_is_stored(key: str) -> None:
    scale = as_scale(norm())
    assert violations([norm()], [norm()]) == []
    assert violations([scale], [norm()]) == []
    assert violations([norm(**{key: 1e-3})], [norm()])
    assert violations([as_scale(norm(**{key: 1e-3}))], [norm()])


def test_a_missing_bias_counts_as_zeros() -> None:
    assert violations([layer(bias=np.zeros(4, np.float32))], [layer(bias=None)]) == []
    assert violations([layer(bias=None)], [layer(bias=np.zeros(4, np.float32))]) == []
    assert violations([layer(bias=None)], [layer()])


def test_swapped_layers_of_one_shape_are_found_and_other_shapes_may_come_in_any_order() -> None:
    flipped, other = layer(WEIGHT[::-1].copy()), layer(WEIGHT[:, :, :1].copy())
    assert violations([flipped, layer()], [layer(), flipped])
    assert violations([other, layer()], [layer(), other]) == []


def test_layers_too_many_or_too_few_are_found() -> None:
    assert "not in the file" in violations([], [layer()])[0]
    assert "the checkpoint has no such" in violations([layer(), layer()], [layer()])[0]
