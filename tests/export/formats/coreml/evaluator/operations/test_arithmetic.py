from __future__ import annotations

from math import log

import pytest

from tests.export.formats.coreml.evaluator.operations.cases import Case

X = [[1.0, -2.0], [3.0, 4.0]]
LN3 = log(3)
CASES = {
    "abs": Case("abs", {"x": [-2.0, 3.0]}, [2.0, 3.0]),
    "add, a row to each": Case("add", {"x": X, "y": [10.0, 20.0]}, [[11.0, 18.0], [13.0, 24.0]]),
    "cast": Case("cast", {"x": [1.5, -2.0], "dtype": "fp16"}, [1.5, -2.0]),
    "equal": Case("equal", {"x": X, "y": 3.0}, [[False, False], [True, False]]),
    "erf": Case("erf", {"x": [-1.0, 0.0, 1.0]}, [-0.8427008, 0.0, 0.8427008]),
    "exp": Case("exp", {"x": [0.0, LN3]}, [1.0, 3.0]),
    "inverse": Case("inverse", {"x": [3.0, -3.0], "epsilon": 1.0}, [0.25, -0.5]),
    "log": Case("log", {"x": [0.0, 2.0], "epsilon": 1.0}, [0.0, LN3]),
    "maximum": Case("maximum", {"x": X, "y": 2.0}, [[2.0, 2.0], [3.0, 4.0]]),
    "minimum": Case("minimum", {"x": X, "y": 2.0}, [[1.0, -2.0], [2.0, 2.0]]),
    "mul, a column by each": Case("mul", {"x": X, "y": [[2.0], [0.5]]}, [[2.0, -4.0], [1.5, 2.0]]),
    "not_equal": Case("not_equal", {"x": X, "y": 3.0}, [[True, True], [False, True]]),
    "pow": Case("pow", {"x": [2.0, 3.0], "y": 3.0}, [8.0, 27.0]),
    "real_div": Case("real_div", {"x": X, "y": [2.0, 4.0]}, [[0.5, -0.5], [1.5, 1.0]]),
    "rsqrt": Case("rsqrt", {"x": [4.0, 11.0], "epsilon": 5.0}, [1 / 3, 0.25]),
    "select": Case(
        "select",
        {"cond": [True, False], "a": [1.0, 2.0], "b": [[3.0], [4.0]]},
        [[1.0, 3.0], [1.0, 4.0]],
    ),
    "sqrt": Case("sqrt", {"x": [4.0, 9.0]}, [2.0, 3.0]),
    "square": Case("square", {"x": [-3.0, 0.5]}, [9.0, 0.25]),
    "sub": Case("sub", {"x": X, "y": 1.0}, [[0.0, -3.0], [2.0, 3.0]]),
}


@pytest.mark.parametrize("name", CASES)
def test_arithmetic_gives_what_a_hand_computes(name: str) -> None:
    CASES[name].check()
