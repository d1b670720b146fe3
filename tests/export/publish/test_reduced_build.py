from __future__ import annotations

import json
import logging
from pathlib import Path

import onnx
import onnxruntime
import pytest

from export.packages.folder_readme import OPERATORS_FILE, TYPES_FILE
from export.publish.assets import FOLDERS
from export.publish.reduced_build import CHATTY, operator_configs

HERE = Path(__file__).resolve().parents[3]
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")
ONNX_DOMAIN = "ai.onnx"


def published(folder: str) -> list[Path]:
    return sorted(p for p in (HERE / folder).iterdir() if p.suffix in (".onnx", ".ort"))


@pytest.fixture(scope="module", params=FOLDERS.values())
def models(request: pytest.FixtureRequest) -> list[Path]:
    return published(request.param)


@pytest.fixture(scope="module")
def optimised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("optimised")


@pytest.fixture(scope="module")
def configs(models: list[Path], optimised: Path) -> dict[str, str]:
    return {n: content.decode() for n, content in operator_configs(models, optimised).items()}


def listed(config: str) -> dict[tuple[str, int], list[str]]:
    """(domain, version) -> operators, of a configuration without types."""
    rows = [line.split(";") for line in config.splitlines() if not line.startswith("#")]
    return {(domain, int(version)): names.split(",") for domain, version, names in rows}


def as_optimised(model: Path, level: str, folder: Path) -> onnx.ModelProto:
    """What onnxruntime itself makes of a file, written as ONNX and read by onnx."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "optimised.onnx")


def operators(model: onnx.ModelProto) -> set[tuple[str, int, str]]:
    """(domain, the version that introduced it, name) of every node."""
    opsets = {entry.domain or ONNX_DOMAIN: entry.version for entry in model.opset_import}
    found = set()
    for node in model.graph.node:
        assert not any(attribute.HasField("g") for attribute in node.attribute)
        domain = node.domain or ONNX_DOMAIN
        version = 1
        if domain == ONNX_DOMAIN:
            schema = onnx.defs.get_schema(node.op_type, opsets[domain], "")
            version = schema.since_version
        found.add((domain, version, node.op_type))
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_every_operator_of_every_published_file_at_every_level_is_listed(
    level: str, models: list[Path], configs: dict[str, str], tmp_path: Path
) -> None:
    allowed = {
        (*place, name) for place, names in listed(configs[OPERATORS_FILE]).items() for name in names
    }
    seen = set()
    for model in models:
        if model.suffix == ".onnx":
            seen |= operators(onnx.load(model)) | operators(as_optimised(model, level, tmp_path))
    assert len(seen) > 10
    assert seen - allowed == set()


def test_nothing_is_listed_that_no_file_needs(
    models: list[Path], configs: dict[str, str], tmp_path: Path
) -> None:
    """An operator too many is a kernel too many in the app. ORT files have fusions of their own."""
    needed = {
        name
        for model in models
        if model.suffix == ".onnx"
        for level in LEVELS
        for _, _, name in operators(as_optimised(model, level, tmp_path))
    }
    names = {name for row in listed(configs[OPERATORS_FILE]).values() for name in row}
    assert names - needed <= {"FusedConv", "NhwcMaxPool", "QLinearConcat", "QLinearConv"}


def test_both_lists_have_the_same_operators_and_one_their_types(configs: dict[str, str]) -> None:
    plain = configs[OPERATORS_FILE].splitlines()
    typed = configs[TYPES_FILE].splitlines()
    assert len(plain) == len(typed)
    with_types = 0
    for left, right in zip(plain[2:], typed[2:], strict=True):
        *place, names = left.split(";")
        assert right.startswith(";".join([*place, names.split(",")[0]]))
        rest = right.split(";", 2)[2]
        for name in names.split(","):
            assert rest.startswith(name)
            rest = rest[len(name) :]
            if rest.startswith("{"):
                types, end = json.JSONDecoder().raw_decode(rest)
                assert types
                with_types += 1
                rest = rest[end:]
            rest = rest.removeprefix(",")
        assert rest == ""
    assert with_types > 5


def test_the_head_names_the_files_and_no_place_of_this_machine(
    models: list[Path], configs: dict[str, str]
) -> None:
    for config in configs.values():
        head = [line for line in config.splitlines() if line.startswith("#")]
        assert all(model.name in head[0] for model in models)
        assert onnxruntime.__version__ in head[1]
        assert "/" not in config


def test_the_same_files_give_the_same_bytes_and_are_optimised_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger(CHATTY).setLevel(logging.DEBUG)  # as onnxruntime sets it
    models = published("ios_assets")[:2]
    once = operator_configs(models, tmp_path)
    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(made) == 2 * (len(LEVELS) + 1)
    assert operator_configs(list(reversed(models)), tmp_path) == once
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made
    assert caplog.records == []


def test_a_folder_without_onnx_has_no_configuration(tmp_path: Path) -> None:
    assert operator_configs([], tmp_path) == {}
