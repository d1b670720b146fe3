"""Core ML packages whose weights lie on grids: what they hold, what they compute, what they weigh.

The variants are made here, by rounding a random network; how well they do does not matter.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.deploy.graph import DeployGraph, build_graph, reference_answers
from export.deploy.metadata import model_metadata
from export.errors import ConversionFailed
from export.formats.coreml import format as coreml_format
from export.formats.coreml.evaluator.evaluate import load_program
from export.formats.coreml.evaluator.package import Package, quiet, read_package, specification_path
from export.formats.coreml.evaluator.reference_network import stored_layers
from export.formats.coreml.evaluator.runner import structure_diff
from export.formats.coreml.evaluator.values import read_value
from export.formats.coreml.weight_blobs import WeightFile
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.check import STRUCTURE_TOLERANCE, check_artifact
from export.parity.reference import Reference
from pipeline.checkpoint import open_checkpoint
from pipeline.model_spec import ModelSpec
from pipeline.quantization_grid import LEAST_SCALE, Grid, short_scale
from tests.export.conftest import tree

LEVELS = {"int8": 127, "w4": 7, "w3": 3}
FINE = ("body.0.weight", "head.1.weight")  # first and last layer keep 8 bits
COARSE = "body.3.squeeze.weight"  # 2 bits, where the others have 3
PRECISIONS = list(LEVELS)


@dataclass(frozen=True)
class Made:
    """A package and the variant that it was made from."""

    path: Path
    spec: ModelSpec
    identity: str
    graph: DeployGraph

    def reference(self) -> Reference:
        images = stress_images(self.spec.side)
        pixels = np.stack(list(images.values()))
        hard = ParityImages(tuple(images), ("hard",) * len(images), pixels, "hard images")
        answers = reference_answers(self.graph, pixels)
        return Reference(self.spec, self.identity, self.graph, hard, answers)


def grid_of(weight: torch.Tensor, levels: int) -> Grid:
    """The weight, rounded."""
    array = weight.detach().numpy()
    scale = short_scale(np.abs(array).reshape(len(array), -1).max(axis=1) / levels)
    steps = array / scale.reshape(-1, *[1] * (array.ndim - 1))
    return Grid(np.clip(np.rint(steps), -levels, levels).astype(np.int8), scale, levels)


def rounded_graph(graph: DeployGraph, spec: ModelSpec, levels: int) -> DeployGraph:
    network = copy.deepcopy(graph.pixels.network)
    grids = {}
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            own = 1 if (name, levels) == (COARSE, 3) else levels
            grids[name] = grid_of(parameter, 127 if name in FINE else own)
            parameter.data = torch.from_numpy(grids[name].weights())
        else:
            parameter.data = parameter.data.half().float()
    return DeployGraph(network, spec, grids).eval()


def convert(graph: DeployGraph, spec: ModelSpec, identity: str, precision: str, path: Path) -> Made:
    coreml_format.convert(graph, spec, model_metadata(spec, identity), precision, path)
    return Made(path, spec, identity, graph)


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> tuple[DeployGraph, ModelSpec, str]:
    opened = open_checkpoint(checkpoint)
    return build_graph(opened), opened.spec, opened.sha256


@pytest.fixture(scope="module")
def made(
    plain: tuple[DeployGraph, ModelSpec, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Made]:
    graph, spec, identity = plain
    folder = tmp_path_factory.mktemp("coreml")
    return {
        precision: convert(
            rounded_graph(graph, spec, levels),
            spec,
            identity,
            precision,
            folder / f"tiny_{precision}.mlpackage",
        )
        for precision, levels in LEVELS.items()
    }


@pytest.fixture
def damaged(made: dict[str, Made], tmp_path: Path) -> dict[str, Made]:
    """Copies, to be changed."""
    return {
        precision: Made(
            Path(shutil.copytree(one.path, tmp_path / one.path.name)),
            one.spec,
            one.identity,
            one.graph,
        )
        for precision, one in made.items()
    }


# --- what a file holds ------------------------------------------------------------------------


def operations(document: Any) -> list[Any]:
    (function,) = document.mlProgram.functions.values()
    return list(function.block_specializations[function.opset].operations)


def stored_grids(package: Package) -> list[tuple[np.ndarray, np.ndarray]]:
    """Codes and scale of each compressed weight, as a reader of the file sees them."""
    codes: dict[str, np.ndarray] = {}
    found = []
    for operation in operations(package.document):
        values = {k: read_value(v, package) for k, v in operation.attributes.items()}
        for name, argument in operation.inputs.items():
            binding = argument.arguments[0]
            if operation.type.startswith("constexpr_"):
                by_name = binding.WhichOneof("binding") == "name"
                values[name] = (
                    codes[binding.name] if by_name else read_value(binding.value, package)
                )
        if operation.type == "constexpr_lut_to_dense":
            codes[operation.outputs[0].name] = values["lut"].reshape(-1)[values["indices"]]
        elif operation.type == "constexpr_blockwise_shift_scale":
            found.append((values["data"], values["scale"].reshape(-1)))
        elif operation.type == "constexpr_affine_dequantize":
            assert int(values["axis"]) == 0
            assert not values["zero_point"].any()
            found.append((values["quantized_data"], values["scale"]))
    return found


def data_types(document: Any) -> set[str]:
    """Of the codes in weight.bin."""
    from coremltools.proto import MIL_pb2

    found = set()
    for operation in operations(document):
        values = list(operation.attributes.values()) + [
            binding.value
            for argument in operation.inputs.values()
            for binding in argument.arguments
            if binding.WhichOneof("binding") == "value"
        ]
        found |= {
            MIL_pb2.DataType.Name(value.type.tensorType.dataType)
            for value in values
            if operation.type.startswith("constexpr_")
            and value.WhichOneof("value") == "blobFileValue"
        }
    return found - {"FLOAT16"}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_file_holds_the_codes_and_the_scales_of_the_checkpoint(
    precision: str, made: dict[str, Made]
) -> None:
    stored = stored_grids(read_package(made[precision].path))
    grids = made[precision].graph.grids
    assert len(stored) == len(grids) == 26
    for name, grid in grids.items():
        assert any(
            np.array_equal(codes, grid.codes) and np.array_equal(scale, grid.scale)
            for codes, scale in stored
        ), name


@pytest.mark.parametrize(
    ("precision", "types"),
    [("int8", {"INT8"}), ("w4", {"INT4", "INT8"}), ("w3", {"UINT2", "UINT3", "INT8"})],
)
def test_a_code_takes_the_bits_of_its_grid(
    precision: str, types: set[str], made: dict[str, Made]
) -> None:
    assert data_types(read_package(made[precision].path).document) == types


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_decompressed_weights_are_those_of_the_variant(
    precision: str, made: dict[str, Made]
) -> None:
    """Bit for bit; those of 8 bits as fp16 rounds them."""
    waiting = dict(made[precision].graph.grids)
    for layer in stored_layers(load_program(made[precision].path))[1:]:
        weight = layer.tensors["weight"]
        assert weight.dtype == np.float16
        (name,) = (
            name
            for name, grid in waiting.items()
            if np.array_equal(grid.weights().astype(np.float16), weight)
        )
        grid = waiting.pop(name)
        if grid.levels < 127:
            assert np.array_equal(weight.astype(np.float32), grid.weights())
    assert not waiting


@pytest.mark.parametrize(
    ("precision", "version", "ios"), [("int8", 7, "16.0"), ("w4", 9, "18.0"), ("w3", 9, "18.0")]
)
def test_the_file_names_the_oldest_ios_that_reads_it(
    precision: str, version: int, ios: str, made: dict[str, Made]
) -> None:
    requires = coreml_format.describe(made[precision].path).requires
    assert requires == {"specification_version": version, "ios": ios}


@pytest.mark.parametrize(("precision", "bytes_each"), [("int8", 1.15), ("w4", 0.56), ("w3", 0.43)])
def test_a_package_takes_little_more_than_its_codes(
    precision: str, bytes_each: float, made: dict[str, Made]
) -> None:
    size = sum(len(content) for content in tree(made[precision].path).values())
    count = sum(p.numel() for p in made[precision].graph.parameters())
    assert size <= bytes_each * count


# --- what it computes -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_compressed_package_is_proven_like_any_other(
    precision: str, made: dict[str, Made]
) -> None:
    one, reference = made[precision], made[precision].reference()
    assert float(np.ptp(reference.probs[:, 0])) > 0.05  # otherwise everything would agree
    result = check_artifact("coreml", precision, one.path, reference)
    assert result.reason == ""
    assert result.status == "pass"
    assert result.parts["structure"] == result.parts["weights"] == "pass"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_its_operations_are_pytorchs_to_rounding(precision: str, made: dict[str, Made]) -> None:
    pixels = made[precision].reference().images.pixels
    probs_diff, map_diff = structure_diff(
        load_program(made[precision].path), made[precision].graph, pixels
    )
    assert probs_diff.shape == map_diff.shape == (len(pixels),)
    assert probs_diff.max() <= STRUCTURE_TOLERANCE.max_abs_diff / 2
    assert 0 < map_diff.max() <= STRUCTURE_TOLERANCE.max_evidence_diff / 2


def weight_bin(path: Path) -> Path:
    return specification_path(path).parent / "weights" / "weight.bin"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_changed_code_is_found(precision: str, damaged: dict[str, Made]) -> None:
    one = damaged[precision]
    content = bytearray(weight_bin(one.path).read_bytes())
    content[len(content) // 2] ^= 1
    weight_bin(one.path).write_bytes(bytes(content))
    result = check_artifact("coreml", precision, one.path, one.reference())
    assert result.status == "fail"
    assert "1 of " in result.parts["weights"]
    assert result.parts["structure"] == "pass"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_changed_scale_is_found(precision: str, damaged: dict[str, Made]) -> None:
    one = damaged[precision]
    package = read_package(one.path)
    last = [o for o in operations(package.document) if o.type.startswith("constexpr_")][-2]
    if precision == "int8":
        start = last.attributes["scale"].blobFileValue.offset + 64
        content = bytearray(package.weights)
        content[start] ^= 0x20
        weight_bin(one.path).write_bytes(bytes(content))
    else:
        held = last.inputs["scale"].arguments[0].value.immediateValue.tensor.bytes
        held.values = bytes([held.values[0] ^ 0x20]) + held.values[1:]
        specification_path(one.path).write_bytes(package.document.SerializeToString())
    result = check_artifact("coreml", precision, one.path, one.reference())
    assert result.status == "fail"
    assert "values are not the checkpoint's" in result.parts["weights"]


# --- the compact form -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_coremltools_reads_the_file_again_and_finds_the_same(
    precision: str, made: dict[str, Made]
) -> None:
    """Its loader infers every type again: a program that contradicts itself does not load."""
    quiet()
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load

    model = ct.models.MLModel(str(made[precision].path), skip_model_load=True)
    document = model.get_spec()
    program = load(document, document.specificationVersion, model.weights_dir)
    theirs = [op.weight.op for op in program.functions["main"].operations if op.op_type == "conv"]
    ours = stored_layers(load_program(made[precision].path))[1:]
    assert len(theirs) == len(ours) == 26
    for operation, layer in zip(theirs, ours, strict=True):
        assert np.array_equal(operation.materialized_val_inference(), layer.tensors["weight"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_an_app_and_a_reader_see_survives(precision: str, made: dict[str, Made]) -> None:
    one = made[precision]
    description = coreml_format.describe(one.path)
    assert [port.name for port in description.inputs] == ["image"]
    assert [port.name for port in description.outputs] == ["probs", "evidence"]
    assert description.labels == one.spec.labels
    wanted = model_metadata(one.spec, one.identity)
    assert {key: description.metadata.get(key) for key in wanted} == wanted


@pytest.mark.parametrize("precision", ["w4", "w3"])
def test_names_in_a_compact_program_are_short_identifiers_each_given_once(
    precision: str, made: dict[str, Made]
) -> None:
    made_here = [
        output.name
        for operation in operations(read_package(made[precision].path).document)
        for output in operation.outputs
    ]
    assert len(set(made_here)) == len(made_here)
    inner = set(made_here) - {"label", "probs", "evidence"}
    assert all(len(name) <= 2 and name[0].isalpha() and name.isalnum() for name in inner)


def test_a_constant_of_a_compact_program_is_where_it_is_used_or_is_used_twice(
    made: dict[str, Made],
) -> None:
    listed = operations(read_package(made["w3"].path).document)
    constants = [o for o in listed if o.type == "const"]
    uses = [b.name for o in listed for a in o.inputs.values() for b in a.arguments]
    assert constants
    assert all(uses.count(constant.outputs[0].name) >= 2 for constant in constants)
    values = [c.attributes["val"].SerializeToString(deterministic=True) for c in constants]
    assert len(set(values)) == len(values)


def test_a_compressed_conversion_gives_the_same_bytes_again(
    made: dict[str, Made], tmp_path: Path
) -> None:
    one = made["w3"]
    again = convert(one.graph, one.spec, one.identity, "w3", tmp_path / one.path.name)
    assert tree(again.path) == tree(one.path)


# --- what is refused --------------------------------------------------------------------------


def with_grids(one: Made, grids: Mapping[str, Grid]) -> DeployGraph:
    return DeployGraph(one.graph.pixels.network, one.spec, grids).eval()


def test_a_grid_that_is_no_weight_is_refused(made: dict[str, Made], tmp_path: Path) -> None:
    one = made["w4"]
    stray = Grid(np.ones((4, 4), np.int8), np.ones(4, np.float32), 7)
    graph = with_grids(one, {**one.graph.grids, "stray.weight": stray})
    with pytest.raises(ConversionFailed, match=r"lies on the grid of stray\.weight"):
        convert(graph, one.spec, one.identity, "w4", tmp_path / "refused.mlpackage")
    assert not (tmp_path / "refused.mlpackage").exists()


@pytest.mark.parametrize("fault", ["missing", "one code off"])
def test_a_weight_that_is_on_no_grid_is_refused(
    fault: str, made: dict[str, Made], tmp_path: Path
) -> None:
    one, grids = made["w4"], dict(made["w4"].graph.grids)
    off = grids.pop("body.3.squeeze.weight")
    if fault == "one code off":
        codes = off.codes.copy()
        codes[0, 0] = -1 if codes[0, 0] == 0 else 0
        grids["body.3.squeeze.weight"] = Grid(codes, off.scale, off.levels)
    with pytest.raises(ConversionFailed, match=r"body_3_squeeze_weight.* lies on no grid"):
        convert(
            with_grids(one, grids), one.spec, one.identity, "w4", tmp_path / "refused.mlpackage"
        )


def test_the_scale_of_a_channel_that_fades_is_still_exact_in_fp16(
    plain: tuple[DeployGraph, ModelSpec, str], tmp_path: Path
) -> None:
    graph, spec, identity = plain
    fading = DeployGraph(copy.deepcopy(graph.pixels.network), spec).eval()
    with torch.no_grad():
        fading.pixels.network.get_parameter("body.3.squeeze.weight")[0] *= 1e-4
    variant = rounded_graph(fading, spec, 127)
    assert variant.grids["body.3.squeeze.weight"].scale[0] == LEAST_SCALE
    one = convert(variant, spec, identity, "int8", tmp_path / "fading.mlpackage")
    assert len(stored_grids(read_package(one.path))) == len(variant.grids)
    assert check_artifact("coreml", "int8", one.path, one.reference()).status == "pass"


# --- weight.bin -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data_type", "values"),
    [
        ("UINT2", [3, 0, 1, 2, 2]),
        ("UINT3", [1, 2, 3, 4, 5, 6, 7, 0, 5]),
        ("INT4", [1, -1, -8, 7, 3]),
        ("INT8", [1, -1, -128, 127]),
        ("FLOAT16", [1.0, -2.0, 65504.0]),
    ],
)
@pytest.mark.parametrize("immediate_bytes", [0, 100])
def test_a_stored_constant_is_read_back(
    data_type: str, values: list[float], immediate_bytes: int
) -> None:
    file = WeightFile(immediate_bytes)
    file.store(np.zeros(3, np.float16), "FLOAT16")  # so that a record does not lie first
    value = file.store(np.array(values), data_type)
    assert value.WhichOneof("value") == ("immediateValue" if immediate_bytes else "blobFileValue")
    assert read_value(value, Package("made", None, file.content())).tolist() == values


def test_weight_bin_is_what_coremltools_own_writer_writes(tmp_path: Path) -> None:
    quiet()
    from coremltools.libmilstoragepython import _BlobStorageWriter

    rng = np.random.default_rng(0)
    wide, narrow = rng.integers(0, 8, 85), rng.integers(-8, 8, 33)
    file = WeightFile(0)
    offsets = [
        file.store(values, data_type).blobFileValue.offset
        for values, data_type in (
            (wide, "UINT3"),
            (narrow, "INT4"),
            (narrow, "INT8"),
            (narrow.astype(np.float16), "FLOAT16"),
            (wide % 4, "UINT2"),
        )
    ]
    theirs = tmp_path / "weight.bin"
    writer = _BlobStorageWriter(str(theirs))
    assert offsets == [
        writer.write_uint3_data(wide.astype(np.uint8)),
        writer.write_int4_data(narrow.astype(np.int8)),
        writer.write_int8_data(narrow.astype(np.int8)),
        writer.write_fp16_data(narrow.astype(np.float16).view(np.uint16)),
        writer.write_uint2_data((wide % 4).astype(np.uint8)),
    ]
    del writer  # it writes the end when it goes
    assert file.content() == theirs.read_bytes()


def test_equal_constants_share_a_record() -> None:
    file = WeightFile(0)
    first, second = (file.store(np.arange(9, dtype=np.int8), "INT8") for _ in range(2))
    other = file.store(np.arange(9, dtype=np.uint8), "UINT8")
    assert first.blobFileValue.offset == second.blobFileValue.offset
    assert first.blobFileValue.offset != other.blobFileValue.offset


@pytest.mark.parametrize(
    ("data_type", "value"), [("UINT3", 8), ("UINT3", -1), ("INT4", 8), ("INT4", -9), ("INT8", 128)]
)
def test_a_value_that_its_type_cannot_hold_is_refused(data_type: str, value: int) -> None:
    with pytest.raises(ValueError, match=data_type):
        WeightFile(0).store(np.array([0, value]), data_type)
