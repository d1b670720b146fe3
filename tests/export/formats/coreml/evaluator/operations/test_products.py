from __future__ import annotations

from typing import Any

import pytest

from tests.export.formats.coreml.evaluator.operations.cases import Case

X = [[1.0, -2.0], [3.0, 4.0]]
Y = [[1.0, 0.0], [2.0, 1.0]]
ROW = [[[[1.0, 2.0, 3.0]], [[10.0, 20.0, 30.0]]]]  # two channels of one row


def conv(weight: Any, **more: Any) -> dict[str, Any]:
    """Arguments of a convolution of `ROW`."""
    arguments = {
        "x": ROW,
        "weight": weight,
        "strides": [1, 1],
        "dilations": [1, 1],
        "groups": 1,
        "pad_type": "valid",
        "pad": [0, 0, 0, 0],
    }
    return {**arguments, **more}


CASES = {
    "conv": Case(  # 1 + 2 * 2 - 10, 2 + 2 * 3 - 20
        "conv", conv([[[[1.0, 2.0]], [[-1.0, 0.0]]]], bias=[0.5]), [[[[-4.5, -11.5]]]]
    ),
    "conv, depthwise": Case(
        "conv", conv([[[[1.0, 2.0]]], [[[-1.0, 1.0]]]], groups=2), [[[[5.0, 8.0]], [[10.0, 10.0]]]]
    ),
    "conv, padded, strided": Case(  # of 0 1 2 3 and of 0 10 20 30 every second pair
        "conv",
        conv(
            [[[[1.0, 1.0]], [[1.0, 0.0]]]],
            strides=[1, 2],
            pad_type="custom",
            pad=[0, 0, 1, 0],
        ),
        [[[[1.0, 25.0]]]],
    ),
    "conv, dilated": Case(
        "conv", conv([[[[1.0, 1.0]], [[0.0, 1.0]]]], dilations=[1, 2]), [[[[34.0]]]]
    ),
    "linear": Case(
        "linear",
        {"x": X, "weight": [[1.0, 2.0], [3.0, 0.0]], "bias": [0.5, -0.5]},
        [[-2.5, 2.5], [11.5, 8.5]],
    ),
    "matmul": Case(
        "matmul",
        {"x": X, "y": Y, "transpose_x": False, "transpose_y": False},
        [[-3.0, -2.0], [11.0, 4.0]],
    ),
    "matmul, left side transposed": Case(
        "matmul",
        {"x": X, "y": Y, "transpose_x": True, "transpose_y": False},
        [[7.0, 3.0], [6.0, 4.0]],
    ),
    "matmul, right side transposed": Case(
        "matmul",
        {"x": X, "y": Y, "transpose_x": False, "transpose_y": True},
        [[1.0, 0.0], [3.0, 10.0]],
    ),
    "matmul of stacks": Case(
        "matmul",
        {"x": [[[1.0, 2.0]], [[3.0, 4.0]]], "y": Y, "transpose_x": False, "transpose_y": False},
        [[[5.0, 2.0]], [[11.0, 4.0]]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_product_gives_what_a_hand_computes(name: str) -> None:
    CASES[name].check()
