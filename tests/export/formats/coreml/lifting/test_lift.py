"""A converted network is lifted to the program that it was made from; a fault is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch import nn

from benchmarks.faults.planted.specification import (
    constant,
    operations,
    rename_arguments,
    swap_branches,
    take_bgr,
)
from export.deploy.variants import variant_graph
from export.errors import CannotRunHere, Unreadable
from export.formats.coreml import format as coreml_format
from export.formats.coreml.evaluator.package import (
    RECORD,
    read_specification,
    specification_path,
)
from export.formats.coreml.facts import FACTS
from pipeline.program.batch_norm_folding import folded
from pipeline.program.capture import capture
from tests.export.conftest import Artifacts, Model
from tests.export.formats.coreml.lifting.lifted_networks import (
    Lifted,
    graph_of,
    lifted_of,
    made_graph,
)
from tests.pipeline.program import small_networks

if TYPE_CHECKING:
    from coremltools.proto.Model_pb2 import Model as Document

Made = Callable[[str, str], Lifted]
pytestmark = pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
slow = pytest.mark.slow("converts small networks")
KINDS = (
    "affine",
    "flat batch norm",
    "unit length",
    "shuffle",
    "same padding",
    "squeeze-and-excitation",
    "layer scale",
    "scaled convolution",
    "attention",
    "small residual",
    "small dense",
    "small depthwise",
    "small layer scale",
    "small same padding",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """``made(kind, precision)``: a package and what it must be, converted once."""

    @cache
    def convert(kind: str, precision: str) -> Lifted:
        path = tmp_path_factory.mktemp("lifted") / "made.mlpackage"
        return lifted_of(*made_graph(kind), precision, path)

    return convert


@slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_the_program_that_it_was_made_from(
    kind: str, precision: str, made: Made
) -> None:
    assert made(kind, precision).differences() == []


@pytest.mark.parametrize("precision", FACTS.precisions)
def test_a_package_of_each_precision_is_the_program_of_its_variant(
    precision: str, model: Model, artifacts: Artifacts
) -> None:
    graph = variant_graph(model.checkpoint, FACTS.precisions[precision].variant)
    half = precision != "fp32"
    program = folded(capture(graph.pixels, model.spec.resize.size))
    expected = coreml_format.as_written(program, half=half)
    held = Lifted(artifacts["coreml", precision], expected, half)
    assert held.differences() == []


def test_the_program_has_the_packages_own_weights(made: Made) -> None:
    held = made("small depthwise", "fp32")
    expected, found = held.expected, coreml_format.lifted(held.path)
    assert found.side == expected.side
    stored = sorted(float(tensor.sum()) for tensor in found.tensors().values())
    wanted = sorted(float(tensor.sum()) for tensor in expected.tensors().values())
    assert stored == pytest.approx(wanted, rel=1e-6)
    assert all(sources == (name,) for name, sources in found.sources.items())


# --- faults -----------------------------------------------------------------------------------


def edited(held: Lifted, folder: Path, change: Callable[[Document], None]) -> list[str]:
    """What is said of a copy of a package whose specification was changed."""
    path = Path(shutil.copytree(held.path, folder / "edited.mlpackage"))
    document = read_specification(path)
    change(document)
    specification_path(path).write_bytes(document.SerializeToString())
    return held.differences(path)


def nudged(held: Lifted, folder: Path, place: int) -> list[str]:
    """The same of a copy with one number in weight.bin changed: the third after a record."""
    path = Path(shutil.copytree(held.path, folder / "nudged.mlpackage"))
    file = specification_path(path).parent / "weights" / "weight.bin"
    content = bytearray(file.read_bytes())
    *_, start = RECORD.unpack_from(content, place)
    dtype = np.float16 if held.half else np.float32
    numbers = np.frombuffer(content, dtype, 3, start).copy()
    numbers[2] += 0.25
    content[start : start + numbers.nbytes] = numbers.tobytes()
    file.write_bytes(content)
    return held.differences(path)


def stored_at(held: Lifted, kind: str, argument: str, count: int) -> int:
    """The place in weight.bin of an argument of the `count`-th operation of a kind."""
    document = read_specification(held.path)
    name = operations(document, kind)[count].inputs[argument].arguments[0].name
    (value,) = [
        operation.attributes["val"]
        for operation in operations(document, "const")
        if operation.outputs[0].name == name
    ]
    assert value.WhichOneof("value") == "blobFileValue"
    return int(value.blobFileValue.offset)


@slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(
    ("kind", "place", "named"),
    [
        ("small depthwise", ("conv", "weight", 2), "network.depthwise.weight: 1 of 144 values"),
        ("small residual", ("conv", "weight", 1), "network.first.weight: 1 of 576 values"),
        ("small layer scale", ("linear", "weight", 0), "network.grow.weight: 1 of 128 values"),
    ],
)
def test_one_changed_weight_is_named(
    kind: str, place: tuple[str, str, int], named: str, precision: str, made: Made, tmp_path: Path
) -> None:
    held = made(kind, precision)
    (said,) = nudged(held, tmp_path, stored_at(held, *place))
    assert said.startswith(named)


def _bypass(document: Document, kind: str, count: int = 0) -> None:
    """What takes the result of an operation takes what that was made of."""
    skipped = operations(document, kind)[count]
    rename_arguments(document, skipped.outputs[0].name, skipped.inputs["x"].arguments[0].name)


def _number(kind: str, argument: str, value: float) -> Callable[[Document], None]:
    """Another number, stored as the file stores it."""

    def change(document: Document) -> None:
        stored = constant(document, operations(document, kind)[0], argument)
        if stored.WhichOneof("value") == "bytes":
            stored.bytes.values = np.float16(value).tobytes()
        else:
            stored.floats.values[:] = [value]

    return change


FAULTS: dict[str, tuple[str, Callable[[Document], None], str]] = {
    "two branches of a concatenation": (
        "small dense",
        swap_branches,
        "cat takes its inputs in another order",
    ),
    "a ReLU6 dropped": (
        "small depthwise",
        lambda document: _bypass(document, "relu6"),
        ": no hardtanh",
    ),
    "a ReLU dropped": (
        "small residual",
        lambda document: _bypass(document, "relu"),
        ": no relu",
    ),
    "a layer norm's epsilon": (
        "small layer scale",
        _number("layer_norm", "epsilon", 1e-5),
        "network.norm: layer_norm with eps",
    ),
    "a batch norm's epsilon": (
        "small dense",
        _number("batch_norm", "epsilon", 1e-3),
        "network.norm: batch_norm with eps",
    ),
    "the axis of the softmax": (
        "small residual",
        lambda document: constant(
            document, operations(document, "softmax")[0], "axis"
        ).ints.values.__setitem__(0, 0),
        "softmax after network.head: softmax.int with dim 0, not 1",
    ),
}


@slow
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_specification_is_named(
    fault: str, precision: str, made: Made, tmp_path: Path
) -> None:
    kind, change, named = FAULTS[fault]
    said = edited(made(kind, precision), tmp_path, change)
    assert len(said) == 1
    assert named in said[0]


def _stride(network: nn.Module) -> None:
    setattr(network.get_submodule("stem"), "stride", (2, 1))  # noqa: B010


def _scale(network: nn.Module) -> None:
    network.get_parameter("scale").data[4] += 0.25


@slow
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_stride, ["network.stem: conv2d with stride [2, 1], not [2, 2]"]),
        # Its product with the layer before it is what is compared.
        (
            _scale,
            [
                "network.shrink.weight, network.scale: 16 of 128 values are not those expected",
                "network.shrink.bias, network.scale: 1 of 8 values are not those expected",
            ],
        ),
    ],
)
def test_another_network_is_told(
    change: Callable[[nn.Module], object], named: list[str], tmp_path: Path
) -> None:
    graph, spec = graph_of(small_networks.small("layer scale"))
    held = lifted_of(graph, spec, "fp16", tmp_path / "made.mlpackage", change)
    said = held.differences()
    assert [each.partition(", first at")[0] for each in said] == named


def test_another_order_of_colours_is_unreadable(artifacts: Artifacts, tmp_path: Path) -> None:
    held = Lifted(artifacts["coreml", "fp32"], None, False)  # type: ignore[arg-type]
    with pytest.raises(Unreadable, match="another order of colours than RGB"):
        edited(held, tmp_path, take_bgr)


@slow
def test_an_operation_without_an_entry_cannot_be_lifted(made: Made, tmp_path: Path) -> None:
    """A hard-swish of other numbers is none, and nothing of PyTorch is the half of one."""
    change: Any = _number("thresholded_relu", "alpha", -2.0)
    with pytest.raises(CannotRunHere, match="operation thresholded_relu of Core ML is not known"):
        edited(made("small depthwise", "fp32"), tmp_path, change)
