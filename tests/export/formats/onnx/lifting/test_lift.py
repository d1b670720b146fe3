"""What stands before the planes and after the outputs; what is harmless, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.errors import Unreadable
from export.formats.onnx.fold_normalisation import take_in_normalisation
from export.formats.onnx.lifting.lift import lifted_graph
from export.formats.onnx.lifting.reading import graph_of, read_graph
from pipeline.program.comparison import compare
from tests.export.formats.onnx.lifting.graphs import model_of, node

DRAWS = np.random.default_rng(0)
CONSTANTS = {
    "m": np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1),
    "s": np.array([4, 5, 6], np.float32).reshape(1, 3, 1, 1),
    "w": DRAWS.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "b": DRAWS.normal(size=4).astype(np.float32),
    "v": DRAWS.normal(size=(4, 4, 1, 1)).astype(np.float32),
}


def two_branches() -> ModelProto:
    """Normalised pixels, a convolution, and two branches that are joined."""
    nodes = [
        node("Sub", "x", "m", to="centred"),
        node("Div", "centred", "s", to="normalised"),
        node("Conv", "normalised", "w", "b", to="c", name="first"),
        node("Relu", "c", to="left"),
        node("Conv", "c", "v", to="right", name="second"),
        node("Concat", "left", "right", axis=1),
    ]
    return model_of(nodes, CONSTANTS, side=(6, 8))


def difference(change: Callable[[ModelProto], object]) -> list[str]:
    model = two_branches()
    change(model)
    return compare(lifted_graph(graph_of(two_branches())), lifted_graph(graph_of(model)))


def renamed(model: ModelProto) -> None:
    for each in model.graph.node:
        each.input[:] = [n if n == "image" else f"{n}_1" for n in each.input]
        each.output[:] = [n if n == "y" else f"{n}_1" for n in each.output]
    for tensor in model.graph.initializer:
        tensor.name += "_1"


def documented(model: ModelProto) -> None:
    model.doc_string = "a model"
    for each in model.graph.node:
        each.doc_string, each.name = "a node", f"{each.name}_2"


def with_identity(model: ModelProto) -> None:
    model.graph.node[6].input[0] = "same"
    model.graph.node.insert(6, node("Identity", "c", to="same"))


def reordered(model: ModelProto) -> None:
    relu, conv = model.graph.node[5], model.graph.node[6]
    swapped = [*model.graph.node[:5], conv, relu, *model.graph.node[7:]]
    copies = [onnx.NodeProto.FromString(each.SerializeToString()) for each in swapped]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def as_constants(model: ModelProto) -> None:
    tensors = list(model.graph.initializer)
    nodes = [helper.make_node("Constant", [], [t.name], value=t) for t in tensors]
    rest = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend([*nodes, *rest])


def in_halves_and_back(model: ModelProto) -> None:
    """Exact in fp16, stored in it and cast when the file is loaded."""
    for tensor in model.graph.initializer:
        if tensor.name == "m":
            half = numpy_helper.from_array(CONSTANTS["m"].astype(np.float16), "half")
            tensor.CopyFrom(half)
    model.graph.node.insert(0, helper.make_node("Cast", ["half"], ["m"], to=TensorProto.FLOAT))


HARMLESS = (
    renamed,
    documented,
    with_identity,
    reordered,
    as_constants,
    in_halves_and_back,
    take_in_normalisation,
)


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.__name__)
def test_what_is_harmless_makes_no_difference(change: Callable[[ModelProto], object]) -> None:
    assert difference(change) == []


def take_in_and_change(name: str) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        take_in_normalisation(model)
        for tensor in model.graph.initializer:
            if tensor.name == name:
                value = numpy_helper.to_array(tensor).copy()
                value.reshape(-1)[0] += 0.5
                tensor.CopyFrom(numpy_helper.from_array(value, name))

    return change


@pytest.mark.parametrize("name", ["m", "s", "w", "b"])
def test_a_changed_number_of_the_normalisation_is_found(name: str) -> None:
    (said,) = difference(take_in_and_change(name))
    assert ": 1 of " in said


def over_other_axes(model: ModelProto) -> None:
    take_in_normalisation(model)
    for each in model.graph.node:
        if each.op_type == "ReduceSum":
            each.attribute[0].i = 1  # keeps its axes


def test_a_normalisation_taken_in_another_way_is_no_normalisation() -> None:
    with pytest.raises(Unreadable, match=r"Conv first has a bias \[4, 1, 1, 4\]"):
        difference(over_other_axes)


def test_branches_in_another_order_are_found() -> None:
    def swapped(model: ModelProto) -> None:
        model.graph.node[7].input[:] = ["right", "left"]

    (said,) = difference(swapped)
    assert "cat takes its inputs in another order" in said


def unused(model: ModelProto) -> None:
    model.graph.node.append(node("Relu", "c", to="nowhere", name="left over"))


def colours_last(model: ModelProto) -> None:
    model.graph.node[0].attribute[0].ints[:] = [0, 3, 2, 1]


def other_type(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def read_twice(model: ModelProto) -> None:
    model.graph.node.append(node("Relu", "image", to="other"))


def cyclic(model: ModelProto) -> None:
    model.graph.node[4].input[0] = "right"


def numbers_nothing_reads(model: ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1000, np.float32), "spare")
    model.graph.initializer.append(tensor)


def a_constant_nothing_reads(model: ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["spare"], value=tensor))


def sparse_numbers(model: ModelProto) -> None:
    model.graph.sparse_initializer.add().dims[:] = [3]


def a_function(model: ModelProto) -> None:
    model.functions.add().name = "f"


def two_values_of_a_tensor(model: ModelProto) -> None:
    model.graph.initializer[2].float_data[:] = [1.0]


def two_values_of_an_attribute(model: ModelProto) -> None:
    model.graph.node[0].attribute[0].s = b"hidden"


def a_subgraph(model: ModelProto) -> None:
    model.graph.node[4].attribute.add(name="body").g.node.append(node("Relu", "c"))


def a_field_of_a_later_onnx(model: ModelProto) -> None:
    model.graph.node[4].MergeFromString(b"\xa2\x3e\x04more")  # field 996


WRONG = {
    "nothing reads the initializer spare, 4000 bytes": numbers_nothing_reads,
    "nothing uses the result of Constant spare": a_constant_nothing_reads,
    "model graph graph sparse_initializer": sparse_numbers,
    "model functions": a_function,
    "model graph graph tensor w raw_data, a second value": two_values_of_a_tensor,
    "node attribute perm ints, a second value": two_values_of_an_attribute,
    "node first attribute body g": a_subgraph,
    "the file has 7 bytes of fields that ONNX does not know": a_field_of_a_later_onnx,
    "nothing uses the result of Relu left over": unused,
    "not turned into planes of float32 before all else: Transpose": colours_last,
    r"the input is float32 \(1, 6, 8, 3\), not uint8": other_type,
    "before all else: Transpose turned, Relu other": read_twice,
    "takes right, which nothing before it makes": cyclic,
}


@pytest.mark.parametrize("words", WRONG)
def test_a_graph_that_is_none_of_ours_says_why(words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        difference(WRONG[words])


def test_bytes_that_a_reader_passes_over_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    said_twice = onnx.ModelProto(doc_string="x" * 1000).SerializeToString()
    model = two_branches()
    model.doc_string = "a model"
    path.write_bytes(said_twice + model.SerializeToString())
    with pytest.raises(Unreadable, match=r"file\.onnx has 100\d bytes that say nothing"):
        read_graph(path)


def test_a_file_that_is_no_onnx_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(Unreadable, match=r"onnx cannot read file\.onnx"):
        read_graph(path)
