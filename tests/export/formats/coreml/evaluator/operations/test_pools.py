from __future__ import annotations

from typing import Any

import pytest

from tests.export.formats.coreml.evaluator.operations.cases import Case


def pool(kernel: int, stride: int, **more: Any) -> dict[str, Any]:
    """Arguments of a pool of one row, 1 2 3 4 5; along the columns alone."""
    arguments = {
        "x": [[[[1.0, 2.0, 3.0, 4.0, 5.0]]]],
        "kernel_sizes": [1, kernel],
        "strides": [1, stride],
        "pad_type": "valid",
        "pad": [0, 0, 0, 0],
        "ceil_mode": False,
        "exclude_padding_from_average": False,
    }
    return {**arguments, **more}


AROUND = {"pad_type": "custom", "pad": [0, 0, 1, 1]}
CASES = {
    "max_pool": Case("max_pool", pool(2, 2), [[[[2.0, 4.0]]]]),
    "max_pool, a last window in part": Case(
        "max_pool", pool(2, 2, ceil_mode=True), [[[[2.0, 4.0, 5.0]]]]
    ),
    "max_pool of negative numbers, padded": Case(  # padding is no number
        "max_pool", pool(3, 2, **AROUND, x=[[[[-1.0, -2.0, -3.0]]]]), [[[[-1.0, -2.0]]]]
    ),
    "avg_pool": Case("avg_pool", pool(2, 2), [[[[1.5, 3.5]]]]),
    "avg_pool, padding counts": Case("avg_pool", pool(3, 2, **AROUND), [[[[1.0, 3.0, 3.0]]]]),
    "avg_pool, padding does not count": Case(
        "avg_pool",
        pool(3, 2, **AROUND, exclude_padding_from_average=True),
        [[[[1.5, 3.0, 4.5]]]],
    ),
    # The last window, over 5 and what only ceil_mode adds, has one number.
    "avg_pool, a last window in part": Case(
        "avg_pool", pool(2, 2, ceil_mode=True), [[[[1.5, 3.5, 5.0]]]]
    ),
    # 0 1 2, 2 3 4, and 4 5 0: the zero is padding. 3 windows of 3, as without ceil_mode.
    "avg_pool, padded, in ceil mode": Case(
        "avg_pool", pool(3, 2, **AROUND, ceil_mode=True), [[[[1.0, 3.0, 3.0]]]]
    ),
    # 0 1 2, 3 4 5: the padding at the end is not reached.
    "avg_pool, windows side by side": Case("avg_pool", pool(3, 3, **AROUND), [[[[1.0, 4.0]]]]),
    "avg_pool, same": Case(  # 1 2 3, 3 4 5 would do: 5 columns, stride 2, 3 windows, 1 and 1 more
        "avg_pool", pool(3, 2, pad_type="same"), [[[[1.0, 3.0, 3.0]]]]
    ),
    "avg_pool, same, two by one": Case(
        "avg_pool", pool(2, 1, pad_type="same"), [[[[1.5, 2.5, 3.5, 4.5, 2.5]]]]
    ),
    "avg_pool, same, the odd column first": Case(
        "avg_pool", pool(2, 1, pad_type="same_lower"), [[[[0.5, 1.5, 2.5, 3.5, 4.5]]]]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pool_gives_what_a_hand_computes(name: str) -> None:
    CASES[name].check()
