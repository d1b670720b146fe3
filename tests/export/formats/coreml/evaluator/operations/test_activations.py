"""Activations by hand: logarithms of small numbers make e^x a fraction."""

from __future__ import annotations

from math import erf, log, sqrt

import pytest

from export.errors import Unreadable
from export.formats.coreml.evaluator.operations import operate
from tests.export.formats.coreml.evaluator.operations.cases import Case, as_stored

LN2, LN3 = log(2), log(3)
CASES = {
    "clamped_relu": Case(
        "clamped_relu", {"x": [-4.0, 1.0, 3.0], "alpha": 0.5, "beta": 2.0}, [-2.0, 1.0, 2.0]
    ),
    "clip": Case(
        "clip", {"x": [-1.5, -1.0, 2.0, 4.0], "alpha": -1.0, "beta": 3.0}, [-1.0, -1.0, 2.0, 3.0]
    ),
    "elu": Case("elu", {"x": [-LN2, 0.0, 3.0], "alpha": 2.0}, [-1.0, 0.0, 3.0]),
    "gelu": Case(  # 1 and 2 standard deviations: 0.8413447 and 0.9772499 of a normal distribution
        "gelu",
        {"x": [-1.0, 0.0, 1.0, 2.0], "mode": "EXACT"},
        [-0.1586553, 0.0, 0.8413447, 1.9544997],
    ),
    # tanh(0.7978846 * 1.044715) = tanh(0.8335620) = 0.6823840
    "gelu by tanh": Case(
        "gelu", {"x": [-1.0, 1.0], "mode": "TANH_APPROXIMATION"}, [-0.1588080, 0.8411920]
    ),
    # 1 / (1 + e^-1.702) = 1 / 1.1823184
    "gelu by sigmoid": Case(
        "gelu", {"x": [-1.0, 1.0], "mode": "SIGMOID_APPROXIMATION"}, [-0.1542042, 0.8457958]
    ),
    "leaky_relu": Case("leaky_relu", {"x": [-2.0, 0.0, 3.0], "alpha": 0.1}, [-0.2, 0.0, 3.0]),
    "linear_activation": Case(
        "linear_activation", {"x": [1.0, -2.0], "alpha": 2.0, "beta": 1.0}, [3.0, -3.0]
    ),
    "prelu": Case(  # a channel of x is a row
        "prelu",
        {"x": [[[-1.0, 2.0], [-3.0, 4.0]]], "alpha": [0.5, 0.25]},
        [[[-0.5, 2.0], [-0.75, 4.0]]],
    ),
    "relu": Case("relu", {"x": [-1.0, 0.0, 2.0]}, [0.0, 0.0, 2.0]),
    "relu6": Case("relu6", {"x": [-1.0, 3.0, 7.0]}, [0.0, 3.0, 6.0]),
    "scaled_tanh": Case(
        "scaled_tanh", {"x": [2 * LN2, 0.0], "alpha": 2.0, "beta": 0.5}, [1.2, 0.0]
    ),
    "sigmoid": Case("sigmoid", {"x": [LN3, 0.0, -log(4)]}, [0.75, 0.5, 0.2]),
    "sigmoid_hard": Case(
        "sigmoid_hard",
        {"x": [-4.0, -2.0, 1.0, 2.5], "alpha": 0.25, "beta": 0.5},
        [0.0, 0.0, 0.75, 1.0],
    ),
    "silu": Case("silu", {"x": [LN3, 0.0, -LN3]}, [0.75 * LN3, 0.0, -0.25 * LN3]),
    "softmax": Case(
        "softmax", {"x": [[0.0, LN3], [LN2, LN2]], "axis": -1}, [[0.25, 0.75], [0.5, 0.5]]
    ),
    "softplus": Case("softplus", {"x": [0.0, LN3, 100.0]}, [LN2, 2 * LN2, 100.0]),
    "softsign": Case("softsign", {"x": [-3.0, 1.0]}, [-0.75, 0.5]),
    "tanh": Case("tanh", {"x": [LN2, -LN3]}, [0.6, -0.8]),  # (2 - 1/2) / (2 + 1/2)
    "thresholded_relu below zero": Case(
        "thresholded_relu", {"x": [-4.0, -3.0, -1.0, 2.0], "alpha": -3.0}, [0.0, -3.0, -1.0, 2.0]
    ),
    "thresholded_relu above zero": Case(
        "thresholded_relu", {"x": [0.5, 1.0, 2.0], "alpha": 1.0}, [0.0, 1.0, 2.0]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_activation_gives_what_a_hand_computes(name: str) -> None:
    CASES[name].check()


def test_the_hand_knows_the_normal_distribution() -> None:
    assert 0.5 * (1 + erf(1 / sqrt(2))) == pytest.approx(0.8413447, abs=1e-7)


@pytest.mark.parametrize("x", [-4.0, -3.0, -1.0, 0.0, 2.0, 3.0, 5.0])
def test_the_two_steps_that_coremltools_makes_of_a_hard_swish_are_one(x: float) -> None:
    """x * min(max(x + 3, 0), 6) / 6."""
    gate = {"x": as_stored([x]), "alpha": as_stored(1 / 6), "beta": as_stored(0.5)}
    kept = {"x": as_stored([x]), "alpha": as_stored(-3.0)}
    made = operate("thresholded_relu", kept) * operate("sigmoid_hard", gate)
    assert float(made) == pytest.approx(x * min(max(x + 3, 0), 6) / 6, abs=1e-6)


def test_a_gelu_of_another_mode_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="gelu does not fit together: mode QUICK"):
        operate("gelu", {"x": as_stored([1.0]), "mode": "QUICK"})
