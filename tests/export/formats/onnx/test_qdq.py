"""int8 in ONNX and ORT files: what integer kernels run, and what is caught when one is off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from export.deploy.graph import reference_probs
from export.errors import ConversionFailed
from export.formats.base import verbs_of
from export.formats.onnx import format as onnx_format
from export.formats.onnx.qdq import store_integers
from export.formats.ort import format as ort_format
from export.formats.register import FORMATS
from export.parity.check import ParityResult, check_artifact
from pipeline.quantization_grid import Grid
from tests.export.conftest import Artifacts, Model
from tests.export.formats.onnx.made_networks import network_of, operations, optimised

LAYERS = 26  # the convolutions of SqueezeNet


@pytest.fixture(scope="module")
def running(artifacts: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The graph that onnxruntime makes of the file."""
    return optimised(artifacts["onnx", "int8"], tmp_path_factory.mktemp("optimised"))


def values_of(model: Any) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def producers(model: Any) -> dict[str, Any]:
    return {name: node for node in model.graph.node for name in node.output}


# --- what runs ----------------------------------------------------------------------------------


def test_all_layers_but_the_last_run_in_integers(running: Any) -> None:
    found = operations(running)
    assert found["QLinearConv"] == LAYERS - 1
    assert found["Conv"] == 1  # its output are the logits
    assert found["Relu"] == 0
    assert found["DequantizeLinear"] == found["QuantizeLinear"] == 1


def test_the_layers_of_an_ort_file_are_in_integers_ahead(artifacts: Artifacts) -> None:
    graph = ort_format._flatbuffer(artifacts["ort", "int8"]).Model().Graph()
    kinds = [graph.Nodes(i).OpType().decode() for i in range(graph.NodesLength())]
    assert kinds.count("QLinearConv") == LAYERS - 1
    assert kinds.count("Conv") == 1


def test_the_normalisation_stays_in_planes(running: Any) -> None:
    """Where colours lie side by side it takes many times as long."""
    inferred = onnx.shape_inference.infer_shapes(running)
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.input)
    }
    steps = [node for node in running.graph.node if node.op_type in ("Sub", "Div", "Mul")]
    assert len(steps) == 2
    for node in steps:
        assert shapes[node.input[0]][1] == 3, node.op_type
        assert shapes[node.input[0]][-1] != 3, node.op_type


def test_biases_are_int32_in_steps_of_input_scale_times_weight_scale(artifacts: Artifacts) -> None:
    model = onnx.load(artifacts["onnx", "int8"])
    values, made = values_of(model), producers(model)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    for node in convolutions[:-1]:
        source, weight, bias = (made[name] for name in node.input)
        assert {source.op_type, weight.op_type, bias.op_type} == {"DequantizeLinear"}
        assert values[weight.input[0]].dtype == np.int8
        assert values[bias.input[0]].dtype == np.int32
        product = values[source.input[1]].astype(np.float64) * values[weight.input[1]]
        np.testing.assert_array_equal(values[bias.input[1]], product.astype(np.float32))
        assert not values[weight.input[2]].any()
        assert not values[bias.input[2]].any()


@pytest.mark.parametrize("name", ["onnx", "ort"])
def test_the_layers_in_a_file_are_the_variants_bit_for_bit(
    name: str, model: Model, artifacts: Artifacts
) -> None:
    stored = verbs_of(name).stored_layers(artifacts[name, "int8"])
    waiting = list(model.references.of("int8").layers[1:])
    for layer in stored:  # a graph may call the branches of a block in either order
        (wanted,) = [
            w
            for w in waiting
            if w.shape == layer.shape
            and np.array_equal(w.tensors["weight"], layer.tensors["weight"])
            and np.array_equal(w.tensors["bias"], layer.tensors["bias"])
        ]
        waiting.remove(wanted)
    assert waiting == []


def test_outputs_are_the_variants_and_not_those_of_its_weights_alone(
    model: Model, artifacts: Artifacts
) -> None:
    session = onnx_format.load(artifacts["onnx", "int8"])
    probs = onnx_format.run(session, model.images.pixels).probs
    variant, weights_alone = (model.references.of(t).probs for t in ("int8", "w8"))
    assert (
        np.abs(probs - variant).max() <= FORMATS["onnx"].precisions["int8"].tolerance.max_abs_diff
    )
    assert np.abs(probs - variant).mean() < np.abs(probs - weights_alone).mean() / 3


# --- what cannot be stored ----------------------------------------------------------------------


def test_layers_with_equal_biases_run_in_integers_each_with_its_own_scale(
    model: Model, tmp_path: Path
) -> None:
    """As fresh ones are, all zero: the exporter stores equal constants once."""
    import copy

    import torch

    held = model.references.of("int8")
    graph = copy.deepcopy(held.graph)
    with torch.no_grad():
        for name, parameter in graph.named_parameters():
            if name.endswith("bias") and "head" not in name:
                parameter.zero_()
    verbs_of("onnx").convert(graph, held.spec, model.metadata, "int8", tmp_path / "x.onnx")
    found = operations(optimised(tmp_path / "x.onnx", tmp_path))
    assert found["QLinearConv"] == LAYERS - 1
    session = verbs_of("onnx").load(tmp_path / "x.onnx")
    probs = verbs_of("onnx").run(session, model.images.pixels).probs
    assert np.abs(probs - reference_probs(graph, model.images.pixels)).max() < 3e-2


def test_a_weight_on_no_grid_is_a_failed_conversion() -> None:
    grid = Grid(np.full((2, 2, 1, 1), 3, np.int8), np.array([0.5, 0.25], np.float32), 127)
    with pytest.raises(ConversionFailed, match="lies on none of the grids"):
        store_integers(network_of(grid.weights() * np.float32(1.01)), {"layer0.weight": grid})


def test_a_bias_that_is_no_multiple_of_its_step_is_a_failed_conversion(
    model: Model, tmp_path: Path
) -> None:
    import copy

    import torch

    held = model.references.of("int8")
    graph = copy.deepcopy(held.graph)
    biases = [p for name, p in graph.named_parameters() if name.endswith("bias")]
    with torch.no_grad():
        biases[3][0] += 1e-4
    with pytest.raises(ConversionFailed, match=r"the bias of \S+ is no multiple of input scale"):
        verbs_of("onnx").convert(graph, held.spec, model.metadata, "int8", tmp_path / "x.onnx")


# --- what is caught -----------------------------------------------------------------------------

Change = Callable[[Any, dict[str, np.ndarray]], str]  # model, its values -> name of what changed


def changed(model: Model, artifacts: Artifacts, change: Change, folder: Path) -> ParityResult:
    """A copy of the file with one initializer changed in place, checked."""
    written = onnx.load(artifacts["onnx", "int8"])
    values = {name: array.copy() for name, array in values_of(written).items()}
    name = change(written, values)
    (tensor,) = [t for t in written.graph.initializer if t.name == name]
    tensor.CopyFrom(numpy_helper.from_array(values[name], name))
    path = folder / "tiny_int8.onnx"
    onnx.save(written, path)
    return check_artifact("onnx", "int8", path, model.held_for("onnx", "int8"))


def layer_input(place: int, argument: int) -> Callable[[Any], str]:
    """The name of the input of the DequantizeLinear before an argument of a layer."""

    def find(model: Any) -> Any:
        node = [n for n in model.graph.node if n.op_type == "Conv"][place]
        return producers(model)[node.input[argument]]

    return find


def code_by_one(place: int) -> Change:
    def change(model: Any, values: dict[str, np.ndarray]) -> str:
        name = layer_input(place, 1)(model).input[0]
        codes = values[name].reshape(-1)
        codes[7] += -1 if codes[7] > 0 else 1
        return name

    return change


def weight_scale_by_a_bit(place: int) -> Change:
    def change(model: Any, values: dict[str, np.ndarray]) -> str:
        name = layer_input(place, 1)(model).input[1]
        values[name][3] = np.nextafter(values[name][3], np.float32(1))
        return name

    return change


def bias_by_one(place: int) -> Change:
    def change(model: Any, values: dict[str, np.ndarray]) -> str:
        name = layer_input(place, 2)(model).input[0]
        values[name][5] += 1
        return name

    return change


@pytest.mark.parametrize("place", [0, 1, 12, LAYERS - 2])
@pytest.mark.parametrize("fault", [code_by_one, weight_scale_by_a_bit, bias_by_one])
def test_an_integer_or_scale_off_by_the_least_is_found_by_its_value(
    fault: Callable[[int], Change], place: int, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    """The outputs never show it: a step of one code is far within the tolerance."""
    result = changed(model, artifacts, fault(place), tmp_path)
    assert result.status == "fail"
    assert "values are not the checkpoint's" in result.parts["weights"]


def activation_scale(place: int, factor: float) -> Change:
    """Of the input of a layer, where it is quantised and where it is read."""

    def change(model: Any, values: dict[str, np.ndarray]) -> str:
        name = layer_input(place, 0)(model).input[1]
        values[name] = values[name] * np.float32(factor)
        return name

    return change


@pytest.mark.parametrize("place", [0, 1, 4, 10])
@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_an_activation_scale_one_percent_off_in_the_first_half_is_found_by_the_outputs(
    factor: float, place: int, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    result = changed(model, artifacts, activation_scale(place, factor), tmp_path)
    assert result.status == "fail"
    assert "max |Δp|" in result.parts["outputs"]


@pytest.mark.parametrize("place", [LAYERS - 3, LAYERS - 1])
@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_an_activation_scale_one_percent_off_in_the_last_block_is_found(
    factor: float, place: int, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    assert changed(model, artifacts, activation_scale(place, factor), tmp_path).status == "fail"


def test_a_zero_point_off_by_ten_is_found(
    model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    def change(written: Any, values: dict[str, np.ndarray]) -> str:
        name = layer_input(0, 0)(written).input[2]
        values[name] = values[name] + np.array(10, values[name].dtype)
        return name

    result = changed(model, artifacts, change, tmp_path)
    assert result.status == "fail"


def test_integers_of_a_file_are_of_the_types_that_old_runtimes_know(artifacts: Artifacts) -> None:
    written = onnx.load(artifacts["onnx", "int8"])
    onnx.checker.check_model(written, full_check=True)
    known = {"FLOAT", "FLOAT16", "UINT8", "INT8", "INT32", "INT64"}
    kinds = {TensorProto.DataType.Name(t.data_type) for t in written.graph.initializer}
    assert kinds <= known
