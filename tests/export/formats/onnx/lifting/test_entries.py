"""Each operation on three planes of 2x2, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from onnx import NodeProto, TensorProto, helper

from export.errors import CannotRunHere
from export.formats.onnx.lifting.entries import ENTRIES
from export.formats.onnx.lifting.lift import lifted_graph
from export.formats.onnx.lifting.reading import graph_of
from tests.export.formats.onnx.lifting.graphs import OPSET, model_of, node

X = tuple(range(-4, 8))  # planes -4..-1, 0..3, 4..7
E = math.e


@dataclass(frozen=True)
class Case:
    """Nodes, the numbers of the planes, and of the result."""

    nodes: Sequence[NodeProto]
    wanted: Sequence[float]
    constants: Mapping[str, Any] = field(default_factory=dict)
    x: Sequence[float] = X
    opset: int = OPSET


def alone(
    operation: str,
    wanted: Sequence[float],
    *constants: Any,
    x: Sequence[float] = X,
    opset: int = OPSET,
    first: bool = False,
    **attributes: Any,
) -> Case:
    """One node, its constants after the planes or before."""
    names = [f"c{i}" for i in range(len(constants))]
    inputs = [*names, "x"] if first else ["x", *names]
    made = node(operation, *inputs, **attributes)
    return Case([made], wanted, dict(zip(names, constants, strict=True)), x, opset)


def f(*numbers: float) -> Any:
    return np.array(numbers, np.float32)


def i(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def planes(*numbers: float) -> Any:
    return f(*numbers).reshape(-1, 1, 1)


NUMBER = np.float32
ONE = np.ones((1, 3, 2, 2), np.float32)  # a convolution's weight that adds up all
SUMS = (0, 3, 6, 9)  # of the three planes
# Half a step goes to the even code, and below code 0 there is none.
ROUNDED = (-2, -2, -2, 0, 0, 0, 2, 4, 4, 4, 6, 8)
GRID = {"scale": np.float32(2), "point": np.uint8(1)}
CODES = Case(
    [
        node("QuantizeLinear", "x", "scale", "point", to="codes"),
        node("DequantizeLinear", "codes", "scale", "point"),
    ],
    ROUNDED,
    GRID,
)
CASES: Mapping[str, Sequence[Case]] = {
    "Abs": [alone("Abs", (4, 3, 2, 1, *range(8)))],
    "Add": [
        alone("Add", range(-3, 9), NUMBER(1)),
        alone("Add", (-3, -2, -1, 0, 2, 3, 4, 5, 7, 8, 9, 10), planes(1, 2, 3), first=True),
    ],
    "AveragePool": [
        alone("AveragePool", (-2.5, 1.5, 5.5), kernel_shape=[2, 2]),
        # A row and a column of padding on each side that do not count, then that do.
        alone("AveragePool", X, kernel_shape=[2, 2], pads=[1, 1, 1, 1], strides=[2, 2]),
        alone(
            "AveragePool",
            (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75),
            kernel_shape=[2, 2],
            pads=[1, 1, 1, 1],
            strides=[2, 2],
            count_include_pad=1,
        ),
    ],
    "BatchNormalization": [
        alone(
            "BatchNormalization",
            (0, 1, 2, 3, 1, 3, 5, 7, 0.5, 1, 1.5, 2),
            f(2, 4, 1),
            f(2, 1, 0),
            f(-2, 0, 3),
            f(4, 4, 4),
            epsilon=0.0,
        )
    ],
    "Cast": [Case([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], X)],
    "Clip": [
        alone("Clip", (-1, -1, -1, -1, 0, 1, 2, 2, 2, 2, 2, 2), NUMBER(-1), NUMBER(2)),
        alone("Clip", (0, 0, 0, 0, *range(8)), NUMBER(0)),
        Case([node("Clip", "x", "", "high")], (*range(-4, 2), *[1] * 6), {"high": NUMBER(1)}),
        Case(
            [node("Clip", "x", "low", "high")],
            (*range(-4, 2), *[1] * 6),
            {"low": NUMBER(-np.inf), "high": NUMBER(1)},
        ),
    ],
    "Concat": [Case([node("Concat", "x", "x", axis=1)], X + X)],
    "Conv": [
        alone("Conv", (18.5,), ONE, f(0.5)),
        alone("Conv", (18, 12, 15, 9), ONE, pads=[0, 0, 1, 1]),
        alone("Conv", (18, 12, 15, 9), ONE, auto_pad="SAME_UPPER"),
        alone("Conv", (0, 3, 6, 18), ONE, auto_pad="SAME_LOWER"),
        alone("Conv", (0, 3, 6, 9), ONE, strides=[2, 2], pads=[1, 1, 1, 1]),
        alone("Conv", (9, 6, 3, 0), ONE, dilations=[2, 2], pads=[1, 1, 1, 1]),
        alone("Conv", (-10, 6, 22), np.ones((3, 1, 2, 2), np.float32), group=3),
    ],
    "DepthToSpace": [
        Case(
            [
                node("Concat", "x", "last", to="four", axis=1),
                node("DepthToSpace", "four", blocksize=2, mode="CRD"),
            ],
            (-4, 0, -3, 1, 4, 10, 5, 20, -2, 2, -1, 3, 6, 30, 7, 40),
            {"last": f(10, 20, 30, 40).reshape(1, 1, 2, 2)},
        )
    ],
    "DequantizeLinear": [CODES],
    "Div": [
        alone("Div", [n / 2 for n in X], NUMBER(2)),
        alone("Div", [12 / n for n in range(1, 13)], NUMBER(12), x=range(1, 13), first=True),
    ],
    "Dropout": [alone("Dropout", X)],
    "Elu": [alone("Elu", (1 / E - 1, *[0] * 10, 3), x=(-1, *[0] * 10, 3))],
    "Erf": [alone("Erf", (0.8427008, -0.8427008, *[0] * 10), x=(1, -1, *[0] * 10))],
    "Exp": [alone("Exp", (1, 2, *[E] * 10), x=(0, math.log(2), *[1] * 10))],
    "Expand": [
        Case(
            [
                node("ReduceMax", "x", to="largest", axes=[2, 3]),
                node("Expand", "largest", "shape"),
            ],
            (-1, -1, 3, 3, 7, 7),
            {"shape": i(1, 3, 1, 2)},
        )
    ],
    "Flatten": [
        Case(
            [node("Flatten", "x", to="flat", axis=2), node("MatMul", "flat", "c")],
            (-10, 6, 22),
            {"c": np.ones((4, 1), np.float32)},
        )
    ],
    "Gather": [
        alone("Gather", (0, 1, 2, 3), np.int64(1), axis=1),
        alone("Gather", (4, 5, 6, 7), np.int64(-1), axis=1),
        alone("Gather", (-4, -3, -2, -1, 4, 5, 6, 7), i(0, 2), axis=1),
    ],
    "Gelu": [alone("Gelu", (0.8413447, -0.1586553, *[0] * 10), x=(1, -1, *[0] * 10), opset=20)],
    "Gemm": [
        Case(
            [node("Flatten", "x", to="flat"), node("Gemm", "flat", "w", "b", transB=turned)],
            (19, -2),
            {"w": w if turned else w.T, "b": f(1, 2)},
        )
        for w in [np.stack([np.ones(12, np.float32), np.eye(12, dtype=np.float32)[0]])]
        for turned in (0, 1)
    ],
    "GlobalAveragePool": [alone("GlobalAveragePool", (-2.5, 1.5, 5.5))],
    "GlobalMaxPool": [alone("GlobalMaxPool", (-1, 3, 7))],
    "HardSigmoid": [
        alone(
            "HardSigmoid",
            (0, 0, 0.5, 0.75, 1, 1, *[0.5] * 6),
            x=(-4, -3, 0, 1.5, 3, 4, *[0] * 6),
            alpha=1 / 6,
        )
    ],
    "HardSwish": [alone("HardSwish", (0, 0, 2 / 3, 4, *[0] * 8), x=(-4, -3, 1, 4, *[0] * 8))],
    "Identity": [alone("Identity", X)],
    "InstanceNormalization": [
        alone(
            "InstanceNormalization",
            [n * scale / math.sqrt(1.25) for scale in (1, 2, 3) for n in (-1.5, -0.5, 0.5, 1.5)],
            f(1, 2, 3),
            f(0, 0, 0),
            epsilon=0.0,
        )
    ],
    "LayerNormalization": [
        alone("LayerNormalization", (-2, 4) * 6, f(2, 3), f(0, 1), axis=-1, epsilon=0.0)
    ],
    "LeakyRelu": [alone("LeakyRelu", (-2, -1.5, -1, -0.5, *range(8)), alpha=0.5)],
    "MatMul": [
        alone(
            "MatMul",
            (-4, -7, -2, -3, 0, 1, 2, 5, 4, 9, 6, 13),
            f(1, 1, 0, 1).reshape(2, 2),
        ),
        # With itself: planes times planes.
        Case(
            [node("MatMul", "x", "x")],
            (22, 15, 10, 7, 2, 3, 6, 11, 46, 55, 66, 79),
        ),
    ],
    "Max": [alone("Max", (1, 1, 1, 1, 1, 1, *range(2, 8)), NUMBER(1))],
    "MaxPool": [
        alone("MaxPool", (-1, 3, 7), kernel_shape=[2, 2]),
        alone(
            "MaxPool",
            (-1, -1, -1, -1, 3, 3, 3, 3, 7, 7, 7, 7),
            kernel_shape=[2, 2],
            pads=[0, 0, 1, 1],
        ),
        alone("MaxPool", (-4, 0, 4), kernel_shape=[1, 1], strides=[2, 2]),
        alone("MaxPool", X, kernel_shape=[1, 1], strides=[1, 1], ceil_mode=1),
    ],
    "Min": [alone("Min", (*range(-4, 2), *[1] * 6), NUMBER(1))],
    "Mish": [alone("Mish", (0.8650984, *[0] * 11), x=(1, *[0] * 11), opset=18)],
    "Mul": [alone("Mul", [2 * n for n in X], NUMBER(2), first=True)],
    "Neg": [alone("Neg", [-n for n in X])],
    "PRelu": [
        alone("PRelu", (-2, -1.5, -1, -0.5, *range(8)), planes(0.5, 1, 1)),
        alone("PRelu", (-1, -0.75, -0.5, -0.25, *range(8)), f(0.25)),
    ],
    "Pad": [
        alone(
            "Pad",
            (9, -4, -3, 9, -2, -1, 9, 0, 1, 9, 2, 3, 9, 4, 5, 9, 6, 7),
            i(0, 0, 0, 1, 0, 0, 0, 0),
            NUMBER(9),
        )
    ],
    "Pow": [alone("Pow", [n * n for n in X], NUMBER(2))],
    "Reciprocal": [
        alone("Reciprocal", [1 / n for n in range(1, 13)], x=range(1, 13)),
        Case(
            [node("Sqrt", "x", to="root"), node("Reciprocal", "root")],
            [1 / n for n in range(1, 13)],
            x=[n * n for n in range(1, 13)],
        ),
    ],
    "QuantizeLinear": [CODES],
    "ReduceL2": [
        alone("ReduceL2", (5, 13, 1), x=(3, 4, 0, 0, 5, 0, 12, 0, 0, 0, 0, 1), axes=[2, 3])
    ],
    "ReduceMax": [alone("ReduceMax", (4, 5, 6, 7), axes=[1], keepdims=0)],
    "ReduceMean": [
        alone("ReduceMean", (-2.5, 1.5, 5.5), axes=[-2, -1], keepdims=0),
        alone("ReduceMean", (0, 1, 2, 3), axes=[1]),
    ],
    "ReduceSum": [alone("ReduceSum", SUMS, i(1))],
    "Relu": [alone("Relu", (0, 0, 0, 0, *range(8)))],
    "Reshape": [
        Case(
            [node("Reshape", "x", "shape", to="rows"), node("ReduceSum", "rows", "axis")],
            (-10, 6, 22),
            {"shape": i(0, 3, -1), "axis": i(2)},
        )
    ],
    "Resize": [
        Case(
            [
                node(
                    "Resize",
                    "x",
                    "",
                    "scales",
                    mode="nearest",
                    coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor",
                )
            ],
            [n for row in range(-4, 8, 2) for _ in (0, 1) for n in (row, row, row + 1, row + 1)],
            {"scales": f(1, 1, 2, 2)},
        ),
        Case(
            [node("Resize", "x", "", "", "sizes", mode="linear")],
            [a for n in range(-4, 8, 2) for a in (n, n + 0.25, n + 0.75, n + 1)],
            {"sizes": i(1, 3, 2, 4)},
        ),
    ],
    "Shape": [
        Case(
            [
                node("Shape", "x", to="shape"),
                node("Slice", "shape", "a", "b", to="rest"),
                node("Reshape", "x", "rest", to="same"),
                node("ReduceSum", "same", "axis"),
            ],
            SUMS,
            {"a": i(1), "b": i(4), "axis": i(0)},
        )
    ],
    "Sigmoid": [
        alone("Sigmoid", (0.75, 0.25, *[0.5] * 10), x=(math.log(3), -math.log(3), *[0] * 10))
    ],
    "Slice": [
        alone("Slice", (-3, -1, 1, 3), i(0, 1), i(2, 2), i(1, 3)),
        alone("Slice", (-4, -3, -2, -1, 4, 5, 6, 7), i(0), i(99), i(1), i(2)),
        alone("Slice", (4, 5, 6, 7), i(-1), i(2**62), i(1)),
    ],
    "Softmax": [
        Case(
            [node("ReduceMax", "x", to="three", axes=[2, 3]), node("Softmax", "three", axis=1)],
            (0.25, 0.5, 0.25),
            x=(*[0] * 4, *[math.log(2)] * 4, *[0] * 4),
        )
    ],
    "Softplus": [alone("Softplus", [math.log(1 + math.exp(n)) for n in X])],
    "Split": [
        Case([node("Split", "x", "sizes", to=["a", "y"], axis=1)], X[4:], {"sizes": i(1, 2)}),
        Case([node("Split", "x", to=["a", "b", "y"], axis=1)], X[8:]),
    ],
    "Sqrt": [alone("Sqrt", range(12), x=[n * n for n in range(12)])],
    "Squeeze": [
        Case(
            [
                node("ReduceMax", "x", to="three", axes=[2, 3]),
                node("Squeeze", "three", "axes", to="row"),
                node("MatMul", "row", "c"),
            ],
            (9,),
            {"axes": i(2, 3), "c": np.ones((3, 1), np.float32)},
        )
    ],
    "Sub": [
        alone("Sub", range(-5, 7), NUMBER(1)),
        alone("Sub", [1 - n for n in X], NUMBER(1), first=True),
    ],
    "Tanh": [alone("Tanh", (0.6, -0.6, *[0] * 10), x=(math.log(2), -math.log(2), *[0] * 10))],
    "Transpose": [alone("Transpose", (-4, -2, -3, -1, 0, 2, 1, 3, 4, 6, 5, 7), perm=[0, 1, 3, 2])],
    "Unsqueeze": [
        Case(
            [node("Unsqueeze", "x", "axes", to="five"), node("ReduceSum", "five", "sum")],
            SUMS,
            {"axes": i(-1), "sum": i(1)},
        )
    ],
}
EVERY = [(name, n) for name, cases in CASES.items() for n in range(len(cases))]


def test_each_entry_has_a_case() -> None:
    assert CASES.keys() == ENTRIES.keys()


@pytest.mark.parametrize(("name", "number"), EVERY)
def test_an_operation_computes_what_is_worked_out_by_hand(name: str, number: int) -> None:
    case = CASES[name][number]
    program = lifted_graph(graph_of(model_of(case.nodes, case.constants, opset=case.opset)))
    x = torch.tensor(case.x, dtype=torch.float32).reshape(1, 3, 2, 2)
    found = program.network(x).reshape(-1)
    torch.testing.assert_close(found, torch.tensor([float(n) for n in case.wanted]))


PADS = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1], "ceil_mode": 1}
UNKNOWN = {
    "operation DepthToSpace of ONNX in the order of DCR": Case(
        [
            node("Concat", "x", "x", "x", "x", to="all", axis=1),
            node("DepthToSpace", "all", blocksize=2),
        ],
        X,
    ),
    r"operation Gemm of ONNX with a bias \[3, 1\]": Case(
        [node("Reshape", "x", "rows", to="flat"), node("Gemm", "flat", "c", "b")],
        X,
        {"rows": i(3, 4), "c": np.ones((4, 3), np.float32), "b": np.ones((3, 1), np.float32)},
    ),
    r"operation MaxPool of ONNX with ceil_mode and pads": alone("MaxPool", X, **PADS),
    r"operation AveragePool of ONNX with ceil_mode and pads": alone(
        "AveragePool", X, **PADS, count_include_pad=1
    ),
    r"operation Resize of ONNX by \[1.0, 1.0, 1.2": Case(
        [
            node(
                "Resize",
                *("x", "", "by"),
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        ],
        X,
        {"by": f(1, 1, 1.25, 1.25)},
    ),
    "operation Resize of ONNX with pytorch_half_pixel to": Case(
        [
            node(
                "Resize",
                *("x", "", "", "to"),
                coordinate_transformation_mode="pytorch_half_pixel",
                mode="linear",
            )
        ],
        X,
        {"to": i(1, 3, 1, 1)},
    ),
    "operation Concat of ONNX of codes and of something else": Case(
        [
            node("QuantizeLinear", "x", "scale", "point", to="codes"),
            node("Concat", "codes", "other", to="all", axis=1),
            node("DequantizeLinear", "all", "scale", "point"),
        ],
        X,
        {**GRID, "other": np.ones((1, 1, 2, 2), np.uint8)},
    ),
    "operation Hardmax of ONNX is": alone("Hardmax", X),
    "operation Cast of ONNX with to 10 is": Case(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)], X
    ),
    "operation HardSigmoid of ONNX with alpha 0.2": alone("HardSigmoid", X),
    "operation Relu of ONNX with slope is": alone("Relu", X, slope=1.0),
    "operation Pad of ONNX with mode reflect": alone("Pad", X, i(*[0] * 8), mode="reflect"),
    "operation Gemm of ONNX with alpha 2.0": Case(
        [node("Flatten", "x", to="flat"), node("Gemm", "flat", "c", alpha=2.0)],
        X,
        {"c": np.ones((12, 2), np.float32)},
    ),
    "operation Clip of ONNX with an input 1 that is computed": Case(
        [node("ReduceMax", "x", to="low", keepdims=0), node("Clip", "x", "low")], X
    ),
    "operation MaxPool of ONNX with places as outputs": Case(
        [node("MaxPool", "x", to=["y", "places"], kernel_shape=[2, 2])], X
    ),
}


def test_operations_of_before_opset_13_are_not_known() -> None:
    with pytest.raises(CannotRunHere, match="opset 12 of ONNX is not known here"):
        lifted_graph(graph_of(model_of([node("Softmax", "x")], {}, opset=12)))


@pytest.mark.parametrize("words", UNKNOWN)
def test_what_is_not_known_is_said_by_its_name(words: str) -> None:
    case = UNKNOWN[words]
    with pytest.raises(CannotRunHere, match=words):
        lifted_graph(graph_of(model_of(case.nodes, case.constants)))
