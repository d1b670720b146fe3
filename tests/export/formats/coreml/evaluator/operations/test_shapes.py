from __future__ import annotations

from typing import Any

import pytest

from export.errors import Unreadable
from export.formats.coreml.evaluator.operations import operate
from tests.export.formats.coreml.evaluator.operations.cases import Case, as_stored

X = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
ROW = [[1.0, 2.0, 3.0, 4.0]]
A, B = [[1.0], [2.0]], [[3.0], [4.0]]


def pad(mode: str, *pairs: int) -> dict[str, Any]:
    return {"x": X, "pad": list(pairs), "mode": mode, "constant_val": 9.0}


def by_index(begin: list[int], end: list[int], **more: Any) -> dict[str, Any]:
    return {"x": X, "begin": begin, "end": end, **more}


CASES = {
    "concat": Case(
        "concat", {"values": (A, B), "axis": -1, "interleave": False}, [[1.0, 3.0], [2.0, 4.0]]
    ),
    "concat, interleaved": Case(
        "concat", {"values": (A, B), "axis": 0, "interleave": True}, [[1.0], [3.0], [2.0], [4.0]]
    ),
    "expand_dims": Case("expand_dims", {"x": [1.0, 2.0], "axes": [0, -1]}, [[[1.0], [2.0]]]),
    "gather": Case(
        "gather",
        {"x": X, "indices": [[2, 0], [-1, 1]], "axis": 1, "batch_dims": 0},
        [[[3.0, 1.0], [3.0, 2.0]], [[6.0, 4.0], [6.0, 5.0]]],
    ),
    "gather of one place": Case(
        "gather", {"x": X, "indices": 1, "axis": 0, "batch_dims": 0}, [4.0, 5.0, 6.0]
    ),
    "pad with a constant": Case(
        "pad",
        pad("constant", 1, 0, 0, 1),
        [[9.0, 9.0, 9.0, 9.0], [1.0, 2.0, 3.0, 9.0], [4.0, 5.0, 6.0, 9.0]],
    ),
    "pad the last axis alone": Case(
        "pad", pad("constant", 1, 0), [[9.0, 1.0, 2.0, 3.0], [9.0, 4.0, 5.0, 6.0]]
    ),
    "pad with a mirror image": Case(
        "pad",
        pad("reflect", 2, 1),
        [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0], [6.0, 5.0, 4.0, 5.0, 6.0, 5.0]],
    ),
    "pad with the border": Case(
        "pad",
        pad("replicate", 0, 1, 2, 1),
        [
            [1.0, 1.0, 1.0, 2.0, 3.0, 3.0],
            [4.0, 4.0, 4.0, 5.0, 6.0, 6.0],
            [4.0, 4.0, 4.0, 5.0, 6.0, 6.0],
        ],
    ),
    "pixel_shuffle": Case(
        "pixel_shuffle",
        {"x": [[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]], "upscale_factor": 2},
        [[[[1.0, 2.0], [3.0, 4.0]]]],
    ),
    "reshape": Case("reshape", {"x": X, "shape": [3, -1]}, [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    "reshape that keeps a size": Case(
        "reshape", {"x": [X], "shape": [0, -1, 1]}, [[[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]]
    ),
    "reverse": Case("reverse", {"x": X, "axes": [1]}, [[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]]),
    "reverse of all axes": Case("reverse", {"x": X}, [[6.0, 5.0, 4.0], [3.0, 2.0, 1.0]]),
    "scatter": Case(
        "scatter",
        {"data": X, "indices": [-1], "updates": [[7.0], [8.0]], "axis": 1, "mode": "update"},
        [[1.0, 2.0, 7.0], [4.0, 5.0, 8.0]],
    ),
    "scatter, added": Case(  # the example in its definition
        "scatter",
        {
            "data": X,
            "indices": [1, 0],
            "updates": [[5.0, 6.0, 7.0], [8.0, 9.0, 10.0]],
            "axis": 0,
            "mode": "add",
        },
        [[9.0, 11.0, 13.0], [9.0, 11.0, 13.0]],
    ),
    "slice_by_index": Case("slice_by_index", by_index([0, 1], [2, 3]), [[2.0, 3.0], [5.0, 6.0]]),
    "slice_by_index by two": Case(
        "slice_by_index", by_index([0, 0], [1, 3], stride=[1, 2]), [[1.0, 3.0]]
    ),
    "slice_by_index from the end": Case(
        "slice_by_index", by_index([0, -2], [2, -1]), [[2.0], [5.0]]
    ),
    "slice_by_index with masks": Case(  # the masks win over 1 and 0
        "slice_by_index",
        by_index([1, 1], [0, 0], begin_mask=[True, False], end_mask=[True, True]),
        [[2.0, 3.0], [5.0, 6.0]],
    ),
    "slice_by_index backwards": Case(
        "slice_by_index",
        by_index([0, 0], [2, 0], stride=[1, -1], begin_mask=[False, True], end_mask=[False, True]),
        [[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]],
    ),
    "slice_by_index of one place": Case(
        "slice_by_index", by_index([0, -1], [2, 0], squeeze_mask=[False, True]), [3.0, 6.0]
    ),
    "slice_by_size": Case(
        "slice_by_size", {"x": X, "begin": [0, 1], "size": [1, -1]}, [[2.0, 3.0]]
    ),
    "slice_by_size from the end": Case(
        "slice_by_size", {"x": X, "begin": [-1, 0], "size": [1, 2]}, [[4.0, 5.0]]
    ),
    "split by sizes": Case(
        "split", {"x": ROW, "axis": 1, "split_sizes": [1, 3]}, ([[1.0]], [[2.0, 3.0, 4.0]])
    ),
    "split in halves": Case(
        "split", {"x": ROW, "axis": -1, "num_splits": 2}, ([[1.0, 2.0]], [[3.0, 4.0]])
    ),
    "squeeze": Case("squeeze", {"x": [[[1.0], [2.0]]], "axes": [0]}, [[1.0], [2.0]]),
    "squeeze of all": Case("squeeze", {"x": [[[1.0], [2.0]]]}, [1.0, 2.0]),
    "squeeze leaves what is larger": Case("squeeze", {"x": ROW, "axes": [0, 1]}, ROW[0]),
    "stack": Case(
        "stack", {"values": ([1.0, 2.0], [3.0, 4.0]), "axis": 1}, [[1.0, 3.0], [2.0, 4.0]]
    ),
    "tile": Case("tile", {"x": A, "reps": [1, 2]}, [[1.0, 1.0], [2.0, 2.0]]),
    "transpose": Case("transpose", {"x": X, "perm": [1, 0]}, [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]),
    "transpose by axes from the end": Case(
        "transpose", {"x": [X], "perm": [-3, -1, -2]}, [[[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_shape_is_what_a_hand_makes(name: str) -> None:
    CASES[name].check()


@pytest.mark.parametrize(
    ("operation", "arguments", "reason"),
    [
        ("pad", pad("reflect", 3, 0), "a mirror image of 3 values cannot fill 3"),
        ("pad", pad("circular", 1, 1), "mode circular"),
        ("split", {"x": ROW, "axis": 1, "num_splits": 3}, "3 parts of one size do not divide 4"),
        ("split", {"x": ROW, "axis": 1, "split_sizes": [1, 1]}, "split does not fit together"),
        ("gather", {"x": X, "indices": [5], "axis": 1, "batch_dims": 0}, "gather does not fit"),
        ("gather", {"x": X, "indices": [0], "axis": 1, "batch_dims": 1}, "batch_dims"),
        (
            "scatter",
            {"data": X, "indices": [0], "updates": [[1.0]], "axis": 1, "mode": "mul"},
            "mode mul is not supported here",
        ),
        ("slice_by_size", {"x": X, "begin": [0, 2], "size": [1, 2]}, "slice_by_size does not fit"),
    ],
)
def test_what_does_not_fit_is_unreadable(
    operation: str, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Unreadable, match=reason):
        operate(operation, {name: as_stored(given) for name, given in arguments.items()})
