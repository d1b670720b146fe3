from __future__ import annotations

from math import sqrt
from typing import Any

import pytest

from tests.export.formats.coreml.evaluator.operations.cases import Case

X = [[1.0, -2.0], [3.0, 4.0]]


def over(axes: list[int] | None, keep: bool = False) -> dict[str, Any]:
    return {"x": X, "keep_dims": keep, **({} if axes is None else {"axes": axes})}


CASES = {
    "sum of absolutes": Case("reduce_l1_norm", over([1]), [3.0, 7.0]),
    "root of the sum of squares": Case("reduce_l2_norm", over([1]), [sqrt(5), 5.0]),
    "maximum of all": Case("reduce_max", over(None), 4.0),
    "maximum, axis kept": Case("reduce_max", over([1], keep=True), [[1.0], [4.0]]),
    "mean, axis gone": Case("reduce_mean", over([-1]), [-0.5, 3.5]),
    "mean, axis kept": Case("reduce_mean", over([0], keep=True), [[2.0, 1.0]]),
    "mean of both axes": Case("reduce_mean", over([0, 1]), 1.5),
    "minimum": Case("reduce_min", over([0]), [1.0, -2.0]),
    "sum": Case("reduce_sum", over([0]), [4.0, 2.0]),
    "sum of squares": Case("reduce_sum_square", over([1]), [5.0, 25.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_reduction_gives_what_a_hand_computes(name: str) -> None:
    CASES[name].check()
