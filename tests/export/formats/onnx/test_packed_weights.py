"""Weights stored small in ONNX files: what is packed comes back, and folds away at load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from export.deploy.metadata import model_metadata
from export.errors import ConversionFailed
from export.formats.onnx import format as onnx_format
from export.formats.onnx.facts import FACTS
from export.formats.onnx.fold_normalisation import NAMES
from export.formats.onnx.graph_editor import Editor, constant_values
from export.formats.onnx.packed_weights import digits_for, pack, store_grids, store_halves, unpack
from pipeline.quantization_grid import Grid
from tests.export.conftest import Artifacts, Model, convert
from tests.export.formats.onnx.made_networks import network_of, operations, optimised

SMALL = ("w4", "w3")
UNPACKED_AT_LOAD = ("fp16", *SMALL)
RNG = np.random.default_rng(0)


def random_grid(levels: int, shape: tuple[int, ...]) -> Grid:
    codes = RNG.integers(-levels, levels + 1, shape).astype(np.int8)
    scale = (RNG.integers(128, 256, shape[0]) * 2.0**-12).astype(np.float32)  # 8 bits
    return Grid(codes, scale, levels)


def unpacked(grids: list[Grid]) -> list[np.ndarray]:
    """The packed weights as onnxruntime unpacks them."""
    model = network_of(*(grid.weights() for grid in grids))
    store_grids(model, {f"layer{i}.weight": grid for i, grid in enumerate(grids)})
    wanted = {str(i): node.input[1] for i, node in enumerate(convolutions(model))}
    return list(constant_values(model, wanted).values())


def convolutions(model: Any) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == "Conv"]


# --- packing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "dtype", "count"),
    [
        (1, np.uint8, 5),  # 3 ** 5 = 243 of 256
        (2, np.int32, 13),  # 5 ** 13 of 2 ** 31: 2.46 bits, where a uint8 takes 3: 2.67
        (3, np.int32, 11),  # 2.91 bits, where a uint8 takes two: 4
        (7, np.uint8, 2),  # 4 bits; an int32 takes 7: 4.57
        (15, np.int32, 6),
        (127, np.uint8, 1),
    ],
)
def test_the_container_is_that_of_the_fewest_bits(levels: int, dtype: type, count: int) -> None:
    digits = digits_for(levels)
    assert (digits.dtype, digits.base, digits.count) == (dtype, 2 * levels + 1, count)


@pytest.mark.parametrize("levels", [1, 2, 3, 7, 15, 31, 127])
def test_no_integer_is_beyond_its_container(levels: int) -> None:
    digits = digits_for(levels)
    packed = pack(np.full(digits.count, levels, np.int8), levels)
    assert packed.dtype == digits.dtype
    assert packed.shape == (1, 1)
    assert int(packed[0, 0]) == digits.base**digits.count - 1


@pytest.mark.parametrize("size", [1, 2, 10, 11, 12, 23])
@pytest.mark.parametrize("levels", [3, 7, 15, 127])
def test_packed_codes_come_back_digit_by_digit(levels: int, size: int) -> None:
    codes = RNG.integers(-levels, levels + 1, size).astype(np.int8)
    digits = digits_for(levels)
    packed = pack(codes, levels).reshape(-1).tolist()
    assert len(packed) == -(-size // digits.count)
    found = [
        n // digits.base**i % digits.base - levels for n in packed for i in range(digits.count)
    ]
    assert found[:size] == codes.tolist()


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 1, 1, 1)],
        [(3, 5, 1, 1)],  # 15 codes: one digit is left over in a uint8, seven in an int32
        [(4, 11, 1, 1)],  # none is left over
        [(2, 1, 1, 1), (5, 2, 1, 1), (3, 5, 1, 1)],
    ],
    ids=str,
)
@pytest.mark.parametrize("levels", [3, 7, 15, 127])
def test_onnxruntime_unpacks_the_very_weights(levels: int, shapes: list[tuple[int, ...]]) -> None:
    grids = [random_grid(levels, shape) for shape in shapes]
    for grid, found in zip(grids, unpacked(grids), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, grid.weights())


def test_layers_of_several_levels_are_each_unpacked_by_their_own() -> None:
    grids = [random_grid(levels, (3, 3, 1, 1)) for levels in (127, 3, 7, 3, 127)]
    for grid, found in zip(grids, unpacked(grids), strict=True):
        np.testing.assert_array_equal(found, grid.weights())


def test_the_largest_codes_of_either_sign_come_back() -> None:
    for levels in (3, 7, 127):
        codes = np.array([levels, -levels, 0, levels], np.int8).reshape(2, 2, 1, 1)
        grid = Grid(codes, np.array([0.5, 2.0], np.float32), levels)
        np.testing.assert_array_equal(unpacked([grid])[0], grid.weights())


def test_codes_of_one_level_share_one_constant() -> None:
    grids = {f"layer{i}.weight": random_grid(3, (11, 11, 1, 1)) for i in range(3)}
    model = network_of(*(grid.weights() for grid in grids.values()))
    editor = Editor(model)
    unpack(editor, grids, 3)
    packed = [t for t in model.graph.initializer if t.data_type == TensorProto.INT32]
    assert max(np.prod(t.dims) for t in packed) == 33  # 3 x 121 codes, eleven to an integer


# --- what cannot be stored ----------------------------------------------------------------------


def test_a_weight_on_no_grid_is_a_failed_conversion() -> None:
    grid = random_grid(7, (3, 5, 1, 1))
    weight = grid.weights().copy()
    weight[1, 2] = np.nextafter(weight[1, 2], np.float32(1))
    with pytest.raises(ConversionFailed, match=r"layer0 \(3, 5, 1, 1\) lies on none of the grids"):
        store_grids(network_of(weight), {"layer0.weight": grid})


def test_a_grid_serves_one_layer() -> None:
    grid = random_grid(7, (5, 5, 1, 1))
    model = network_of(grid.weights(), 2 * grid.weights())
    with pytest.raises(ConversionFailed, match="layer1"):
        store_grids(model, {"layer0.weight": grid})


def test_a_bias_that_is_no_fp16_number_is_a_failed_conversion() -> None:
    grid = random_grid(7, (2, 2, 1, 1))
    exact = np.array([0.5, -0.25], np.float32)
    store_grids(network_of(grid.weights(), bias=exact), {"layer0.weight": grid})
    model = network_of(grid.weights(), bias=exact + np.float32(1e-5))
    with pytest.raises(ConversionFailed, match="the bias of layer0 is not exact in fp16"):
        store_grids(model, {"layer0.weight": grid})


def test_halves_are_the_nearest_fp16_numbers() -> None:
    weight = RNG.normal(size=(3, 2, 1, 1)).astype(np.float32)
    bias = RNG.normal(size=3).astype(np.float32)
    model = network_of(weight, bias=bias)
    store_halves(model)
    (layer,) = convolutions(model)
    found = constant_values(model, {"weight": layer.input[1], "bias": layer.input[2]})
    np.testing.assert_array_equal(found["weight"], weight.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(found["bias"], bias.astype(np.float16).astype(np.float32))


# --- whole files --------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", UNPACKED_AT_LOAD)
def test_no_operator_is_newer_than_the_oldest_runtime_supports(
    precision: str, artifacts: Artifacts
) -> None:
    model = onnx.load(artifacts["onnx", precision])
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    for node in model.graph.node:
        assert node.domain == ""
        assert onnx.defs.get_schema(node.op_type, 17, "").since_version <= 17
    onnx.checker.check_model(model, full_check=True)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    new = {"INT4", "UINT4", "INT2", "UINT2"} & set(TensorProto.DataType.keys())
    assert not kinds & {TensorProto.DataType.Value(name) for name in new}


@pytest.mark.parametrize("precision", SMALL)
def test_the_layers_in_a_file_are_the_variants_bit_for_bit(
    precision: str, model: Model, artifacts: Artifacts
) -> None:
    stored = onnx_format.stored_layers(artifacts["onnx", precision])
    expected = model.references.of(precision).layers
    assert [layer.kind for layer in stored] == [layer.kind for layer in expected]
    assert [layer.name for layer in stored] == [layer.name for layer in expected]
    for found, wanted in zip(stored, expected, strict=True):
        assert found.tensors.keys() == wanted.tensors.keys() == {"weight", "bias"}
        for key, values in wanted.tensors.items():
            np.testing.assert_array_equal(
                found.tensors[key].astype(np.float32), values.astype(np.float32)
            )


def test_the_layers_in_an_fp16_file_are_the_checkpoints_rounded(
    model: Model, artifacts: Artifacts
) -> None:
    stored = onnx_format.stored_layers(artifacts["onnx", "fp16"])
    for found, wanted in zip(stored[1:], model.held.layers[1:], strict=True):
        for key, values in wanted.tensors.items():
            assert found.tensors[key].dtype == np.float16
            np.testing.assert_array_equal(found.tensors[key], values.astype(np.float16))


@pytest.mark.parametrize("precision", SMALL)
def test_a_file_is_little_more_than_its_codes_scales_and_biases(
    precision: str, model: Model, artifacts: Artifacts
) -> None:
    grids = model.references.of(precision).graph.grids.values()
    bits = sum(
        grid.codes.size * digits_for(grid.levels).dtype.itemsize * 8 / digits_for(grid.levels).count
        for grid in grids
    )
    halves = sum(2 * 2 * len(grid.scale) for grid in grids)  # a scale and a bias a channel
    size = artifacts["onnx", precision].stat().st_size
    assert bits / 8 + halves < size < bits / 8 + halves + 12_000


@pytest.mark.parametrize("precision", UNPACKED_AT_LOAD)
def test_what_runs_after_loading_is_the_fp32_graph(
    precision: str, artifacts: Artifacts, tmp_path: Path
) -> None:
    """All unpacking has folded: none of it is left for each image."""
    full, small = (optimised(artifacts["onnx", p], tmp_path) for p in ("fp32", precision))
    assert operations(small) == operations(full)
    assert operations(small)["Mod"] == operations(small)["Split"] == 0
    assert operations(onnx.load(artifacts["onnx", precision]))["Cast"] > 26  # the file has them
    types = [{t.data_type for t in m.graph.initializer} for m in (full, small)]
    assert types[0] == types[1]


@pytest.mark.parametrize("precision", FACTS.precisions)
def test_metadata_and_description_survive(
    precision: str, model: Model, artifacts: Artifacts
) -> None:
    held = model.held_for("onnx", precision)
    written = onnx.load(artifacts["onnx", precision])
    found = {pair.key: pair.value for pair in written.metadata_props}
    assert found == model_metadata(held.spec, held.checkpoint_sha256)
    assert "Not a medical device" in written.doc_string


@pytest.mark.parametrize("precision", FACTS.precisions)
def test_two_conversions_give_equal_bytes(
    precision: str, model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    again = convert(model, "onnx", precision, tmp_path)
    assert again.read_bytes() == artifacts["onnx", precision].read_bytes()


@pytest.mark.parametrize("precision", UNPACKED_AT_LOAD)
def test_layers_keep_their_names_and_values_have_short_ones(
    precision: str, model: Model, artifacts: Artifacts
) -> None:
    written = onnx.load(artifacts["onnx", precision])
    names = [layer.name for layer in model.held.layers[1:]]
    assert [node.name for node in convolutions(written)] == names
    made = [name for node in written.graph.node for name in node.output]
    assert max(len(name) for name in {*made} - {"probs", "evidence", *NAMES}) <= 3
