"""Normalisations by hand: 1 and 3 have the mean 2 and the variance 1, so epsilon 3 halves."""

from __future__ import annotations

import pytest

from tests.export.formats.coreml.evaluator.operations.cases import Case

CASES = {
    "batch_norm": Case(
        "batch_norm",
        {
            "x": [[1.0, -2.0], [3.0, 4.0]],
            "mean": [1.0, 2.0],
            "variance": [3.0, 0.0],
            "gamma": [2.0, 3.0],
            "beta": [0.0, 1.0],
            "epsilon": 1.0,
        },
        [[0.0, -11.0], [2.0, 7.0]],
    ),
    "batch_norm without scale and shift": Case(
        "batch_norm",
        {"x": [[1.0], [3.0]], "mean": [1.0], "variance": [3.0], "epsilon": 1.0},
        [[0.0], [1.0]],
    ),
    "instance_norm": Case(  # two channels, each by its own figures: the second has variance 9
        "instance_norm",
        {
            "x": [[[[1.0, 3.0]], [[-1.0, 5.0]]]],
            "gamma": [2.0, 1.0],
            "beta": [0.0, 10.0],
            "epsilon": 0.0,
        },
        [[[[-2.0, 2.0]], [[9.0, 11.0]]]],
    ),
    "l2_norm": Case("l2_norm", {"x": [[[3.0, 2.0]]], "epsilon": 3.0}, [[[0.75, 0.5]]]),
    "layer_norm of the last axis": Case(
        "layer_norm",
        {
            "x": [[1.0, 3.0], [-2.0, 2.0]],
            "axes": [-1],
            "gamma": [2.0, 4.0],
            "beta": [0.0, 1.0],
            "epsilon": 0.0,
        },
        [[-2.0, 5.0], [-2.0, 5.0]],
    ),
    "layer_norm with an epsilon": Case(
        "layer_norm", {"x": [[1.0, 3.0]], "axes": [1], "epsilon": 3.0}, [[-0.5, 0.5]]
    ),
    "layer_norm of the channels of an image": Case(  # gamma is of the axis, not of the last one
        "layer_norm",
        {
            "x": [[[[1.0, 2.0]], [[3.0, 6.0]]]],
            "axes": [1],
            "gamma": [1.0, 10.0],
            "beta": [0.0, 5.0],
            "epsilon": 0.0,
        },
        [[[[-1.0, -1.0]], [[15.0, 15.0]]]],
    ),
    "layer_norm of all axes": Case(
        "layer_norm", {"x": [[1.0, 3.0], [1.0, 3.0]], "epsilon": 0.0}, [[-1.0, 1.0], [-1.0, 1.0]]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_normalisation_gives_what_a_hand_computes(name: str) -> None:
    CASES[name].check()
