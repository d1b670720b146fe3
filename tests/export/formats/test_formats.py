from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from export.deploy.metadata import model_metadata
from export.deploy.outputs import Answers
from export.deploy.variants import VARIANTS
from export.errors import CannotRunHere, ConversionFailed, Unreadable
from export.formats.base import Port, Runner, Verbs, verbs_of
from export.formats.onnx import format as onnx_format
from export.formats.register import FORMATS, all_precisions
from export.parity.check import ParityResult
from export.publish.assets import FOLDERS
from pipeline.errors import install_command
from tests.conftest import LABELS, SIDE, make_spec
from tests.export.conftest import (
    ARTIFACTS,
    COMPRESSED,
    Artifacts,
    Exported,
    Model,
    convert,
    read_model,
    tree,
    write_sensitive_network,
    write_variants,
)

HERE = Path(__file__).resolve().parents[3]
VERBS = (
    *("RUN_BY", "ALSO", "why_not_convert", "why_not_run"),
    *("convert", "load", "run", "describe", "stored_layers", "trace_layers"),
)
every_format = pytest.mark.parametrize("name", FORMATS)
every_artifact = pytest.mark.parametrize(("name", "precision"), ARTIFACTS)
runs_here = pytest.mark.parametrize(
    ("name", "precision"),
    [(n, p) for n, p in ARTIFACTS if n != "coreml" or sys.platform == "darwin"],
)
# Largest difference from PyTorch with the same weights that any format may allow itself.
ALLOWED = {"fp32": 1e-4, "fp16": 5e-3, "int8": 3e-2, "w4": 5e-3, "w3": 5e-3}
BITS = {"fp32": 32, "fp16": 16, "int8": 8, "w4": 4, "w3": 3}


# --- the register -----------------------------------------------------------------------------


def test_the_verbs_tested_here_are_those_of_the_protocol() -> None:
    declared = {n for n in {**vars(Verbs), **vars(Runner)} if not n.startswith("_")}
    assert declared == {*VERBS}


@every_format
def test_a_format_has_every_verb(name: str) -> None:
    module = verbs_of(name)
    assert [verb for verb in VERBS if not hasattr(module, verb)] == []


@every_format
def test_a_format_is_registered_under_its_own_name(name: str) -> None:
    assert name == FORMATS[name].name


def test_suffixes_distinguish_formats() -> None:
    suffixes = [facts.suffix for facts in FORMATS.values()]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix.startswith(".") for suffix in suffixes)


@every_format
def test_a_format_goes_to_platforms_that_have_a_folder(name: str) -> None:
    assert FORMATS[name].platforms
    assert set(FORMATS[name].platforms) <= FOLDERS.keys()


@every_format
def test_a_tolerance_is_small_and_has_a_reason(name: str) -> None:
    for precision, facts in FORMATS[name].precisions.items():
        tolerance = facts.tolerance
        assert 0 < tolerance.max_abs_diff <= ALLOWED[precision]
        assert 0 <= tolerance.max_flip_rate <= (0 if precision == "fp32" else 0.01)
        assert tolerance.reason


@every_format
def test_where_arithmetic_is_fp32_weights_of_few_bits_are_as_close_as_fp32(name: str) -> None:
    """Unpacked they are the variant's very weights; only Core ML computes with them in fp16."""
    precisions = FORMATS[name].precisions
    few = [precisions[p].tolerance for p in ("fp16", "w4", "w3") if p in precisions]
    if name != "coreml":
        for tolerance in few:
            assert (tolerance.max_abs_diff, tolerance.max_flip_rate) == (1e-4, 0)


@every_format
def test_every_precision_is_offered_or_refused_with_a_reason(name: str) -> None:
    facts = FORMATS[name]
    assert facts.refused.keys().isdisjoint(facts.precisions)
    assert facts.refused.keys() | facts.precisions.keys() == set(all_precisions())
    assert all(len(reason.split()) > 5 for reason in facts.refused.values())


def test_ort_refuses_what_it_would_store_unpacked() -> None:
    refused = FORMATS["ort"].refused
    assert refused.keys() == {"fp16", "w4", "w3"}
    assert all("stored unpacked" in reason for reason in refused.values())


@every_artifact
def test_an_artifact_is_made_from_the_variant_of_its_own_bits(name: str, precision: str) -> None:
    variant = VARIANTS[FORMATS[name].precisions[precision].variant]
    assert variant.folder == ("" if precision in ("fp32", "fp16") else precision)
    assert variant.activations == (precision == "int8" and name != "coreml")
    assert variant.half == (precision == "fp16")


@every_artifact
def test_the_arithmetic_of_an_artifact_is_stated(name: str, precision: str) -> None:
    by_runtime = {"int8": "int8"} if name != "coreml" else dict.fromkeys(all_precisions(), "fp16")
    expected = "fp32" if precision == "fp32" else by_runtime.get(precision, "fp32")
    assert FORMATS[name].precisions[precision].arithmetic == expected


@every_format
def test_whatever_a_format_requires_has_a_command_that_installs_it(name: str) -> None:
    declared = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    for requirement in FORMATS[name].requirements:
        listed = declared["optional-dependencies"].get(requirement.extra, declared["dependencies"])
        assert any(line.startswith(requirement.module) for line in listed)
        command = install_command(
            [requirement.module], FORMATS[name].extras_of(FORMATS[name].requires)
        )
        assert command.startswith("python -m pip install")
        assert f"[{requirement.extra}]" in command or not requirement.extra


def test_importing_the_register_imports_no_converter() -> None:
    code = (
        "import sys, export.formats.register; heavy = {'numpy', 'torch', 'onnx', 'onnxruntime', "
        "'onnxsim', 'coremltools', 'torchvision'}; print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- what the files declare -------------------------------------------------------------------


@every_artifact
def test_the_input_reads_back(name: str, precision: str, artifacts: Artifacts) -> None:
    described = verbs_of(name).describe(artifacts[name, precision])
    expected = (
        Port("image", "image RGB", (SIDE, SIDE))
        if name == "coreml"
        else Port("image", "uint8", (1, SIDE, SIDE, 3))
    )
    assert described.inputs == (expected,)


@every_artifact
def test_the_outputs_read_back(name: str, precision: str, artifacts: Artifacts) -> None:
    described = verbs_of(name).describe(artifacts[name, precision])
    expected = (
        Port("probs", "label -> float64", (2,))
        if name == "coreml"
        else Port("probs", "float32", (1, 2))
    )
    assert described.outputs == (expected, Port("evidence", "float32", (1, 2, 3, 3)))


@every_artifact
def test_the_labels_read_back_in_order(name: str, precision: str, artifacts: Artifacts) -> None:
    assert verbs_of(name).describe(artifacts[name, precision]).labels == LABELS


@every_artifact
def test_the_metadata_read_back(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    held = model.held_for(name, precision)
    found = verbs_of(name).describe(artifacts[name, precision]).metadata
    expected = model_metadata(held.spec, held.checkpoint_sha256)
    assert expected.items() <= dict(found).items()


@every_artifact
def test_the_oldest_runtime_reads_back(name: str, precision: str, artifacts: Artifacts) -> None:
    requires = verbs_of(name).describe(artifacts[name, precision]).requires
    runtime = {"onnx": "onnxruntime", "ort": "onnxruntime", "torchscript": "pytorch_lite"}
    assert requires[runtime.get(name, "ios")]
    assert all(isinstance(value, str | int) for value in requires.values())


@every_artifact
def test_no_path_of_this_machine_is_in_a_file(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    path = artifacts[name, precision]
    places = (HERE, Path.home(), model.folder, Path(tempfile.gettempdir()), Path(sys.prefix))
    for content in (tree(path) if path.is_dir() else {path.name: path.read_bytes()}).values():
        for place in places:
            assert f"{place}/".encode() not in content
        assert b"site-packages" not in content


@every_artifact
def test_a_published_file_is_readable_by_all_users(
    name: str, precision: str, artifacts: Artifacts
) -> None:
    path = artifacts[name, precision]
    for file in [path, *path.rglob("*")]:
        assert file.stat().st_mode & 0o044 == 0o044, file


@every_artifact
def test_a_file_is_as_small_as_its_bits(name: str, precision: str, artifacts: Artifacts) -> None:
    size = size_of(artifacts[name, precision]) / size_of(artifacts[name, "fp32"])
    ideal = BITS[precision] / 32
    assert ideal <= size * 1.01
    # int8 has programs, scales and zero points besides its weights
    assert size <= ideal * (1.2 if precision in ("int8", "w4", "w3") else 1.03)


def size_of(path: Path) -> int:
    return sum(map(len, tree(path).values())) if path.is_dir() else path.stat().st_size


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Model:
    spec = make_spec(labels=("zebra", "ape", "ox"), positive=None, threshold=None, side=96)
    folder = write_sensitive_network(tmp_path_factory.mktemp("three") / "three", spec)
    write_variants(folder, int8=127, w4=7)
    return read_model(folder)


@every_artifact
def test_a_model_of_three_labels_and_another_side_is_described_by_its_file(
    name: str, precision: str, three: Model, tmp_path: Path
) -> None:
    if precision in ("fp16", "w3"):
        pytest.skip("the same converter as fp32, as w4")
    path = convert(three, name, precision, tmp_path)
    described = verbs_of(name).describe(path)
    assert described.labels == ("zebra", "ape", "ox")
    assert 96 in described.inputs[0].shape
    assert described.outputs[0].shape[-1] == 3


@every_artifact
def test_the_evidence_of_another_size_and_number_of_classes_reads_back(
    name: str, precision: str, three: Model, tmp_path: Path
) -> None:
    if precision != "fp32":
        pytest.skip("the same converter as fp32")
    described = verbs_of(name).describe(convert(three, name, precision, tmp_path))
    shape = (1, *three.answers.evidence.shape[1:])
    assert described.outputs[1:] == (Port("evidence", "float32", shape),)
    assert shape[:2] == (1, 3)
    assert shape[2:] != (3, 3)


# --- loading and running ----------------------------------------------------------------------


def answers(name: str, path: Path, model: Model, threads: int) -> Answers:
    import torch

    try:
        session = verbs_of(name).load(path, threads=threads)
        return verbs_of(name).run(session, model.images.pixels)
    finally:
        torch.set_num_threads(1)


@runs_here
def test_run_gives_one_float32_row_an_image(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    probs = answers(name, artifacts[name, precision], model, threads=1).probs
    assert probs.dtype == np.float32
    assert probs.shape == model.reference.shape
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)


@runs_here
def test_run_gives_a_map_of_evidence_for_each_class_of_each_image(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    evidence = answers(name, artifacts[name, precision], model, threads=1).evidence
    assert evidence is not None
    assert evidence.dtype == np.float32
    assert evidence.shape == model.answers.evidence.shape == (len(model.images.names), 2, 3, 3)


def test_the_lite_interpreter_gives_evidence_in_the_order_of_its_axes_in_memory(
    model: Model, artifacts: Artifacts
) -> None:
    """Android's `getDataAsFloatArray` returns a channels-last tensor in its layout in memory."""
    for precision in FORMATS["torchscript"].precisions:
        session = verbs_of("torchscript").load(artifacts["torchscript", precision])
        found = session(torch.from_numpy(model.images.pixels[:1].copy()))
        assert isinstance(found, tuple)
        assert found[1].stride() == (2 * 3 * 3, 3 * 3, 3, 1)


@runs_here
def test_a_runtime_of_two_threads_gives_the_same_outputs(
    name: str, precision: str, model: Model, artifacts: Artifacts
) -> None:
    path = artifacts[name, precision]
    one, two = (answers(name, path, model, threads) for threads in (1, 2))
    np.testing.assert_allclose(two.probs, one.probs, atol=1e-5)
    np.testing.assert_allclose(two.evidence, one.evidence, atol=1e-4)


@every_artifact
def test_an_artifact_gives_its_variants_outputs_within_its_tolerance(
    name: str,
    precision: str,
    model: Model,
    artifacts: Artifacts,
    remembered: Callable[..., ParityResult],
) -> None:
    held = model.held_for(name, precision)
    result = remembered(name, precision, artifacts[name, precision], held)
    assert (result.status, result.reason) == ("pass", "")
    assert result.label_flips == 0
    assert result.max_abs_diff <= FORMATS[name].precisions[precision].tolerance.max_abs_diff
    assert result.max_abs_diff <= (5e-3 if name == "coreml" else 2e-5) or (
        precision == "int8"  # a sum that falls between two codes
    )


@pytest.mark.parametrize(("name", "precision"), COMPRESSED)
def test_a_compressed_file_is_nearer_to_its_variant_than_to_the_checkpoint(
    name: str,
    precision: str,
    model: Model,
    artifacts: Artifacts,
    remembered: Callable[..., ParityResult],
) -> None:
    """Otherwise it would not matter which of the two it is compared with."""
    held = model.held_for(name, precision)
    probs = remembered(name, precision, artifacts[name, precision], held).probs
    own, foreign = (np.abs(probs - r).max() for r in (held.probs, model.reference))
    assert own < foreign / 2


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs here")
def test_core_ml_says_that_it_cannot_run_off_a_mac(artifacts: Artifacts) -> None:
    with pytest.raises(CannotRunHere, match="macOS only"):
        verbs_of("coreml").load(artifacts["coreml", "fp32"], threads=1)


@pytest.mark.parametrize("name", ["onnx", "ort"])
def test_a_missing_onnxruntime_is_said_with_the_way_out(
    name: str, artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.errors.find_spec", lambda module: None)
    with pytest.raises(CannotRunHere, match=r"pip install .*\[onnx\]"):
        verbs_of(name).load(artifacts[name, "fp32"], threads=1)


@every_format
@pytest.mark.parametrize("content", [None, b"", b"not a model\n"], ids=["missing", "empty", "text"])
def test_describing_what_is_no_artifact_is_unreadable(
    name: str, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / f"x{FORMATS[name].suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=path.name):
        verbs_of(name).describe(path)


# --- ONNX ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", FORMATS["onnx"].precisions)
def test_onnx_is_of_an_opset_and_ir_that_old_runtimes_load(
    precision: str, artifacts: Artifacts
) -> None:
    import onnx

    path = artifacts["onnx", precision]
    written = onnx.load(path)
    assert {entry.domain: entry.version for entry in written.opset_import} == {"": 17}
    assert written.ir_version <= 9
    requires = verbs_of("onnx").describe(path).requires
    assert (requires["opset"], requires["ir_version"]) == (17, written.ir_version)


@pytest.mark.parametrize("precision", FORMATS["onnx"].precisions)
def test_onnx_keeps_its_weights_in_the_one_file(precision: str, artifacts: Artifacts) -> None:
    import onnx

    written = onnx.load(artifacts["onnx", precision], load_external_data=False)
    external = onnx.TensorProto.EXTERNAL
    assert all(tensor.data_location != external for tensor in written.graph.initializer)
    assert [p.name for p in artifacts["onnx", precision].parent.glob("*.data")] == []


def test_onnx_fails_when_the_simplifier_changes_a_weight(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    import onnxsim

    simplify = onnxsim.simplify

    def with_a_changed_weight(*arguments: object, **options: object) -> tuple[object, bool]:
        simplified, equal = simplify(*arguments, **options)
        tensor = max(simplified.graph.initializer, key=lambda t: np.prod(t.dims))
        weights = onnx.numpy_helper.to_array(tensor).copy()
        weights.flat[0] += 5
        tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
        return simplified, equal

    monkeypatch.setattr(onnxsim, "simplify", with_a_changed_weight)
    path = tmp_path / "x.onnx"
    with pytest.raises(ConversionFailed, match=r"onnxsim changed the outputs by \S+ > 1e-06"):
        onnx_format.convert(model.graph, model.spec, model.metadata, "fp32", path)
    assert not path.exists()


def test_onnx_fails_when_the_simplifier_finds_other_outputs_itself(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxsim

    monkeypatch.setattr(onnxsim, "simplify", lambda plain, **_: (plain, False))
    path = tmp_path / "x.onnx"
    with pytest.raises(ConversionFailed, match="onnxsim's own check"):
        onnx_format.convert(model.graph, model.spec, model.metadata, "fp32", path)
    assert not path.exists()


def test_onnxsim_is_asked_to_check_its_own_work(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its default is no check at all, and its "ok" says nothing then."""
    import onnxsim

    asked = []

    def simplify(plain: object, **options: object) -> tuple[object, bool]:
        asked.append(options)
        return plain, True

    monkeypatch.setattr(onnxsim, "simplify", simplify)
    onnx_format.convert(model.graph, model.spec, model.metadata, "fp32", tmp_path / "x.onnx")
    assert asked[0]["check_n"] >= 1


# --- ORT format, TorchScript-lite, Core ML -----------------------------------------------------


@pytest.mark.parametrize("precision", FORMATS["ort"].precisions)
def test_ort_is_of_a_format_version_with_a_known_runtime(
    precision: str, artifacts: Artifacts
) -> None:
    requires = verbs_of("ort").describe(artifacts["ort", precision]).requires
    assert requires == {"ort_format": 6, "onnxruntime": "1.16"}


@pytest.mark.parametrize("precision", FORMATS["torchscript"].precisions)
def test_torchscript_is_of_a_bytecode_that_the_last_mobile_runtime_reads(
    precision: str, artifacts: Artifacts
) -> None:
    requires = verbs_of("torchscript").describe(artifacts["torchscript", precision]).requires
    assert requires["bytecode"] <= 8
    assert requires["pytorch_lite"] == "2.1.0"


@pytest.mark.parametrize("precision", FORMATS["torchscript"].precisions)
def test_torchscript_has_no_debug_records(precision: str, artifacts: Artifacts) -> None:
    import torch

    reader = torch._C.PyTorchFileReader(str(artifacts["torchscript", precision]))
    records = reader.get_all_records()
    assert "bytecode.pkl" in records
    assert [name for name in records if "debug" in name] == []


def test_torchscript_does_not_depend_on_the_name_of_the_file(
    model: Model, artifacts: Artifacts, tmp_path: Path
) -> None:
    renamed = tmp_path / "another_name.ptl"
    shutil.copy(artifacts["torchscript", "fp32"], renamed)
    assert b"another_name" not in renamed.read_bytes()
    assert verbs_of("torchscript").describe(renamed).labels == LABELS


def test_torchscript_needs_xnnpack_and_says_so(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.formats.torchscript.format.has_xnnpack", lambda: False)
    path = tmp_path / "x.ptl"
    with pytest.raises(ConversionFailed, match=r"without XNNPACK.*install torch"):
        verbs_of("torchscript").convert(model.graph, model.spec, model.metadata, "fp32", path)
    assert not path.exists()


# Weights of 4 and 3 bits came with iOS 18.
IOS = {
    **dict.fromkeys(("fp32", "fp16", "int8"), (7, "16.0")),
    **dict.fromkeys(("w4", "w3"), (9, "18.0")),
}


def read_core_ml(package: Path) -> object:
    """The specification in a package, read without this project's code."""
    from coremltools.proto import Model_pb2

    (file,) = package.rglob("model.mlmodel")
    document = Model_pb2.Model()
    document.ParseFromString(file.read_bytes())
    return document


@pytest.mark.parametrize("precision", FORMATS["coreml"].precisions)
def test_core_ml_is_a_classifier_of_rgb_images(precision: str, artifacts: Artifacts) -> None:
    document = read_core_ml(artifacts["coreml", precision])
    assert document.specificationVersion == IOS[precision][0]
    assert document.WhichOneof("Type") == "mlProgram"
    (image,) = document.description.input
    colour = image.type.imageType
    assert colour.ColorSpace.Name(colour.colorSpace) == "RGB"
    assert (colour.width, colour.height) == (SIDE, SIDE)
    assert document.description.predictedFeatureName == "label"
    assert document.description.predictedProbabilitiesName == "probs"
    assert "Not a medical device" in document.description.metadata.shortDescription
    assert document.description.metadata.versionString == "1.2.3"


@pytest.mark.parametrize("precision", FORMATS["coreml"].precisions)
def test_core_ml_gives_out_what_its_mean_takes_and_computes_nothing_more(
    precision: str, artifacts: Artifacts
) -> None:
    """Core ML cannot be timed here: it is enough that the file has no operation for this."""
    document = read_core_ml(artifacts["coreml", precision])
    function = document.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    assert list(block.outputs) == ["label", "probs", "evidence"]
    takers = [
        (operation.type, name)
        for operation in block.operations
        for name, argument in operation.inputs.items()
        for binding in argument.arguments
        if binding.name == "evidence"
    ]
    assert takers == [("reduce_mean", "x")]
    (maker,) = [o for o in block.operations for v in o.outputs if v.name == "evidence"]
    assert maker.type == ("conv" if precision == "fp32" else "cast")
    label, probs, evidence = document.description.output
    assert (label.name, probs.name, evidence.name) == ("label", "probs", "evidence")
    array = evidence.type.multiArrayType
    assert array.ArrayDataType.Name(array.dataType) == "FLOAT32"
    assert list(array.shape) == [1, 2, 3, 3]


@pytest.mark.parametrize("precision", FORMATS["coreml"].precisions)
def test_core_ml_says_what_it_requires(precision: str, artifacts: Artifacts) -> None:
    requires = verbs_of("coreml").describe(artifacts["coreml", precision]).requires
    version, system = IOS[precision]
    assert requires == {"specification_version": version, "ios": system}


def test_core_ml_holds_no_date_and_no_random_identifier(artifacts: Artifacts) -> None:
    package = artifacts["coreml", "fp32"]
    document = read_core_ml(package)
    assert not any("date" in key for key in document.description.metadata.userDefined)
    again = json.loads((artifacts["coreml", "fp16"] / "Manifest.json").read_text())
    manifest = json.loads((package / "Manifest.json").read_text())
    assert manifest["rootModelIdentifier"] == again["rootModelIdentifier"]
    assert manifest["rootModelIdentifier"] in manifest["itemInfoEntries"]
    assert len(manifest["itemInfoEntries"]) == 2


# --- reproducible ------------------------------------------------------------------------------


@every_artifact
def test_the_same_checkpoint_gives_the_same_bytes_in_another_process(
    name: str, precision: str, exported: Exported, artifacts: Artifacts
) -> None:
    """By the export's converter, a fresh process, and by this one; in two folders."""
    first = exported.build / f"tiny_{precision}{FORMATS[name].suffix}"
    second = artifacts[name, precision]
    if name == "ort":  # onnxruntime writes one lookup table in the order of its hashes
        assert first.stat().st_size == second.stat().st_size
    elif first.is_dir():
        assert tree(first) == tree(second)
    else:
        assert first.read_bytes() == second.read_bytes()


def test_the_lite_interpreter_is_given_the_strides_that_a_bitmap_has() -> None:
    """With a stride of 0 for N, torch would take channels-last for another layout."""
    seen = []

    def session(image: torch.Tensor) -> torch.Tensor:
        seen.append(image.stride())
        return torch.zeros(1, 2)

    answered = verbs_of("torchscript").run(session, np.zeros((2, 8, 8, 3), np.uint8))
    assert answered.evidence is None
    assert seen == [(8 * 8 * 3, 8 * 3, 3, 1)] * 2
