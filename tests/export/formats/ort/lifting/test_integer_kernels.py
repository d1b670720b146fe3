"""Each integer kernel computes what onnxruntime makes of it, up to one code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, NodeProto, helper

from export.errors import CannotRunHere, Unreadable
from export.formats.onnx.lifting.entries import ENTRIES as ONNX_ENTRIES
from export.formats.onnx.lifting.lift import lifted_graph
from export.formats.onnx.lifting.reading import graph_of
from export.formats.ort.lifting.entries import ENTRIES
from tests.export.formats.onnx.lifting.graphs import model_of, node

DOMAIN = "com.microsoft"
SIDE = (6, 5)
DRAWS = np.random.default_rng(0)
STEP, OUT = 2.0, 3.0  # of what goes in, and of what comes out


def scalar(number: float) -> Any:
    return np.array(number, np.float32)


def point(number: int) -> Any:
    return np.array(number, np.uint8)


GRIDS = {
    "xs": scalar(STEP),
    "xz": point(7),
    "ys": scalar(OUT),
    "yz": point(20),
    "w": DRAWS.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
    "ws": DRAWS.uniform(0.001, 0.003, 4).astype(np.float32),
    "wz": np.zeros(4, np.int8),
    "b": DRAWS.integers(-9000, 9000, 4).astype(np.int32),
    "m": DRAWS.integers(-127, 128, (90, 4)).astype(np.int8),
    "ms": DRAWS.uniform(0.0005, 0.001, 4).astype(np.float32),
    "mz": np.zeros(4, np.int8),
    "cs": scalar(0.01),
    "cz": point(90),
    "codes": DRAWS.integers(0, 256, (1, 3, 1, 1)).astype(np.uint8),
    "flat": np.array([1, 90]),
}
X, Y, C = ("xs", "xz"), ("ys", "yz"), ("cs", "cz")
LAST = node("Transpose", "q", to="last", perm=[0, 2, 3, 1])
FIRST = node("Transpose", "k", to="p", perm=[0, 3, 1, 2])


@dataclass(frozen=True)
class Kernel:
    """Nodes between the codes ``q`` of the planes and codes ``p``."""

    nodes: Sequence[NodeProto]
    step: float = OUT
    to: tuple[str, str] = Y
    constants: Mapping[str, Any] = field(default_factory=dict)


def kernel(operation: str, *inputs: str, to: str = "p", **attributes: Any) -> NodeProto:
    return node(operation, *inputs, to=to, domain=DOMAIN, **attributes)


KERNELS = {
    "QLinearConv": Kernel(
        [node("QLinearConv", "q", *X, "w", "ws", "wz", *Y, "b", to="p", pads=[1, 1, 1, 1])]
    ),
    "com.microsoft.QLinearConv": Kernel(
        [
            LAST,
            kernel("QLinearConv", "last", *X, "w", "ws", "wz", *Y, to="k", channels_last=1),
            FIRST,
        ]
    ),
    "com.microsoft.NhwcMaxPool": Kernel(
        [LAST, kernel("NhwcMaxPool", "last", to="k", kernel_shape=[2, 2], strides=[2, 2]), FIRST],
        step=STEP,
        to=X,
    ),
    "com.microsoft.QGemm": Kernel(
        [
            node("Reshape", "q", "flat", to="row"),
            kernel("QGemm", "row", *X, "m", "ms", "mz", "b", *Y),
        ]
    ),
    "com.microsoft.QLinearAdd": Kernel([kernel("QLinearAdd", "q", *X, "q", *X, *Y)]),
    "com.microsoft.QLinearMul": Kernel([kernel("QLinearMul", "q", *X, "codes", *C, *Y)]),
    "com.microsoft.QLinearConcat": Kernel([kernel("QLinearConcat", *Y, "q", *X, "q", *X, axis=1)]),
    "com.microsoft.QLinearGlobalAveragePool": Kernel(
        [kernel("QLinearGlobalAveragePool", "q", *X, *Y)]
    ),
    "com.microsoft.QLinearAveragePool": Kernel(
        [kernel("QLinearAveragePool", "q", *X, *Y, kernel_shape=[2, 2], strides=[2, 2])]
    ),
    "com.microsoft.QLinearLeakyRelu": Kernel([kernel("QLinearLeakyRelu", "q", *X, *Y, alpha=0.25)]),
    "com.microsoft.QLinearSigmoid": Kernel(
        [kernel("QLinearSigmoid", "q", *X, "ps", "pz")],
        step=1 / 256,
        to=("ps", "pz"),
        constants={"ps": scalar(1 / 256), "pz": point(0)},
    ),
}


def model_with(made: Kernel, grid: tuple[str, str] | None = None) -> ModelProto:
    nodes = [
        node("QuantizeLinear", "x", *(grid or X), to="q"),
        *made.nodes,
        node("DequantizeLinear", "p", *made.to),
    ]
    taken = {name for each in nodes for name in each.input}
    constants = {k: v for k, v in {**GRIDS, **made.constants}.items() if k in taken}
    model = model_of(nodes, constants, side=SIDE)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return model


def test_each_kernel_is_tried() -> None:
    other = {*ONNX_ENTRIES, *(name for name in ENTRIES if "Gelu" in name or "Fused" in name)}
    assert KERNELS.keys() == ENTRIES.keys() - other


WINDOWS = {"strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}
WHOLE = {  # windows that end where the planes do
    "without padding": {"kernel_shape": [2, 3]},
    "with padding": {"kernel_shape": [4, 3], "pads": [1, 1, 1, 1]},
}
FURTHER = {
    name: Kernel([kernel("QLinearAveragePool", "q", *X, *Y, **WINDOWS, **windows)])
    for name, windows in WHOLE.items()
}


@pytest.mark.parametrize("name", [*KERNELS, *FURTHER])
def test_a_kernel_computes_what_onnxruntime_makes_of_it(name: str) -> None:
    made = {**KERNELS, **FURTHER}[name]
    model = model_with(made)
    noise = np.random.default_rng(0).integers(0, 256, (1, *SIDE, 3))
    image = (noise // [1, 2, 4]).astype(np.uint8)  # channels whose averages differ
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (wanted,) = session.run(None, {"image": image})
    program = lifted_graph(graph_of(model), ENTRIES)
    found = program.network(torch.from_numpy(image.transpose(0, 3, 1, 2).astype(np.float32)))
    assert tuple(found.shape) == wanted.shape
    assert float((found - torch.from_numpy(wanted)).abs().max()) <= 1.001 * made.step
    assert np.ptp(wanted) > 2 * made.step


def test_what_a_kernel_does_as_no_other_does_is_not_known() -> None:
    pool = Kernel([kernel("QLinearAveragePool", "q", *X, *Y, **WINDOWS, kernel_shape=[3, 3])])
    rows = Kernel(
        [
            node("Reshape", "q", "flat", to="row"),
            kernel("QGemm", "row", *X, "m", "ms", "mz", "bias", *Y),
        ],
        constants={"bias": GRIDS["b"].reshape(4, 1)},
    )
    with pytest.raises(CannotRunHere, match="with ceil_mode and count_include_pad"):
        lifted_graph(graph_of(model_with(pool)), ENTRIES)
    with pytest.raises(CannotRunHere, match=r"with a bias \[4, 1\]"):
        lifted_graph(graph_of(model_with(rows)), ENTRIES)


def test_codes_of_another_grid_are_told() -> None:
    model = model_with(KERNELS["com.microsoft.QLinearAdd"], grid=Y)
    with pytest.raises(Unreadable, match="takes codes of scale 3 and zero point 20 for those of"):
        lifted_graph(graph_of(model), ENTRIES)


def test_codes_that_are_taken_as_they_are_do_not_stand_for_numbers() -> None:
    relu = Kernel([node("Relu", "q", to="p")], to=X)
    with pytest.raises(CannotRunHere, match="operation Relu of ONNX of codes is not known here"):
        lifted_graph(graph_of(model_with(relu)), ENTRIES)


def test_numbers_that_nothing_rounded_are_no_codes() -> None:
    model = model_with(KERNELS["com.microsoft.QLinearAdd"])
    model.graph.node[3].input[0] = "x"
    with pytest.raises(CannotRunHere, match="of codes that nothing made"):
        lifted_graph(graph_of(model), ENTRIES)
