from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.formats.onnx import format as onnx_format
from export.formats.onnx.fold_normalisation import read_normalisation, take_in_normalisation
from export.parity.check import check_artifact
from tests.export.conftest import Artifacts, Model

RNG = np.random.default_rng(0)
MEAN, STD = np.array([120.0, 110, 100], np.float32), np.array([60.0, 50, 40], np.float32)


def normalising_model(padding: int = 0, divide_first: bool = False) -> onnx.ModelProto:
    """Pixels, minus a mean, divided, into one convolution of 4 outputs."""
    operations = [("Sub", "mean"), ("Div", "std")]
    first, second = reversed(operations) if divide_first else operations
    nodes = [
        helper.make_node(first[0], ["pixels", first[1]], ["a"]),
        helper.make_node(second[0], ["a", second[1]], ["b"]),
        helper.make_node("Conv", ["b", "w", "c"], ["out"], pads=[padding] * 4),
    ]
    arrays = {
        "mean": MEAN.reshape(1, 3, 1, 1),
        "std": STD.reshape(1, 3, 1, 1),
        "w": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "c": RNG.normal(size=4).astype(np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "normalising",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model: onnx.ModelProto) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 3, 8, 8)).astype(np.float32)
    return session.run(None, {"pixels": pixels})[0]


def test_a_convolution_that_takes_in_the_normalisation_gives_the_same_outputs() -> None:
    model = normalising_model()
    before = answer(model)
    take_in_normalisation(model)
    (layer,) = [node for node in model.graph.node if node.op_type == "Conv"]
    assert layer.input[0] == "pixels"
    np.testing.assert_allclose(answer(model), before, atol=1e-4)


def test_the_normalisation_can_be_read_back() -> None:
    model = normalising_model()
    assert read_normalisation(model) is None
    take_in_normalisation(model)
    found = read_normalisation(model)
    assert found is not None
    assert (found.weight, found.bias) == ("w", "c")
    np.testing.assert_array_equal(found.mean, MEAN)
    np.testing.assert_array_equal(found.std, STD)


@pytest.mark.parametrize("change", [{"padding": 1}, {"divide_first": True}])
def test_a_graph_of_another_form_stays_as_it_is(change: dict[str, int]) -> None:
    model = normalising_model(**change)
    before = model.SerializeToString()
    take_in_normalisation(model)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("precision", ["fp32", "fp16", "w4", "w3"])
def test_a_changed_mean_in_the_file_is_found_in_the_weights(
    precision: str, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    document = onnx.load(artifacts["onnx", precision])
    made_by = {name: node for node in document.graph.node for name in node.output}
    mean = made_by["normalised_shift"].input[1]
    (tensor,) = [t for t in document.graph.initializer if t.name == mean]
    value = numpy_helper.to_array(tensor).copy()
    value[0, 0] += 0.01  # too little to show in the outputs
    tensor.CopyFrom(numpy_helper.from_array(value, mean))
    path = tmp_path / "changed.onnx"
    onnx.save(document, path)
    result = check_artifact("onnx", precision, path, model.held_for("onnx", precision))
    assert result.status == "fail"
    assert "normalisation.mean: 1 of 3 values" in result.parts["weights"]


def test_no_normalisation_is_left_to_compute_once_a_file_is_loaded(
    artifacts: Artifacts, tmp_path: Path
) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(artifacts["onnx", "w4"]), options)
    optimised = onnx.load(tmp_path / "optimised.onnx")
    assert not {"Sub", "Div", "Mul"} & {node.op_type for node in optimised.graph.node}


def test_layers_are_watched_with_the_input_that_pytorch_gives_them(
    model: Model, artifacts: Artifacts
) -> None:
    image = model.images.pixels[-1]
    first, *_ = onnx_format.trace_layers(artifacts["onnx", "fp32"], image) or []
    graph = model.graph.pixels
    expected = (image.transpose(2, 0, 1)[None] - graph.mean.numpy()) / graph.std.numpy()
    np.testing.assert_allclose(first.input, expected, atol=1e-5)
