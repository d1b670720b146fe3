from __future__ import annotations

import copy
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from export.formats.register import FORMATS
from export.manifest.manifest import (
    MANIFEST_FILE,
    SCHEMA_FILE,
    SUM_FILE,
    as_manifest,
    manifest_document,
    read_manifest,
    write_manifest,
)
from export.publish.assets import FOLDERS
from export.publish.build_manifest import file_entries
from export.publish.zipped_size import zipped_bytes
from pipeline.errors import BadInput
from tests.conftest import LABELS, SIDE
from tests.export.conftest import RECORD, Exported, Model

ROOT = Path(__file__).parents[3]

each_folder = pytest.mark.parametrize("folder", FOLDERS.values())


def manifest_of(exported: Exported, folder: str) -> dict[str, Any]:
    return json.loads((exported.root / folder / MANIFEST_FILE).read_text(encoding="utf-8"))


def strings(value: Any) -> Iterator[str]:
    """All strings in a document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings(item)


@pytest.fixture
def manifest(exported: Exported) -> dict[str, Any]:
    return copy.deepcopy(manifest_of(exported, "android_assets"))


@each_folder
def test_a_published_manifest_is_valid_by_its_schema(folder: str, exported: Exported) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(manifest_of(exported, folder), schema)


@each_folder
def test_a_manifest_has_every_field_that_an_app_needs(
    folder: str, exported: Exported, model: Model
) -> None:
    manifest = manifest_of(exported, folder)
    assert manifest["schema"] == 3
    about = manifest["model"]
    assert (about["name"], about["version"]) == ("tiny", "1.2.3")
    assert about["architecture"] == "squeezenet1_1"
    assert about["labels"] == list(LABELS)
    assert about["threshold"] == 0.4
    assert about["checkpoint_sha256"] == model.identity
    assert about["metrics"] == {"auroc": {"value": 0.9, "low": 0.8, "high": 0.95}}
    expected = {"name": "image", "dtype": "uint8", "layout": "NHWC", "width": SIDE, "height": SIDE}
    assert expected.items() <= about["input"].items()
    assert about["input"]["resize"] == {"mode": "squish", "filter": "bilinear", "antialias": True}
    assert manifest["tools"]["torch"]
    for artifact in manifest["artifacts"]:
        assert artifact.keys() == {
            *("format", "precision", "path", "size_bytes", "zipped_bytes", "files"),
            *("inputs", "outputs"),
            *("requires", "checkpoint_sha256", "parity", "accuracy", "latency_ms", "session"),
        }
        parity = artifact["parity"]
        assert {"status", "reason", "images", "max_abs_diff", "label_flips"} <= parity.keys()
        assert parity["tolerance"]["max_abs_diff"] > 0
        assert artifact["inputs"][0]["name"] == "image"
        assert [port["name"] for port in artifact["outputs"]] == ["probs", "evidence"]
        assert artifact["outputs"][1] == {
            "name": "evidence",
            "dtype": "float32",
            "shape": [1, 2, 3, 3],
        }
        assert parity["evidence"]["shape"] == [1, 2, 3, 3]
        assert 0 <= parity["evidence"]["max_rel_diff"] <= parity["tolerance"]["max_evidence_diff"]
        assert parity["evidence"]["worst_image"]
        assert parity["parts"]["evidence"] == "pass"
        assert artifact["latency_ms"] is None  # not measured in this export
        assert artifact["session"] == FORMATS[artifact["format"]].session
    assert manifest["rejected"] == []


@each_folder
def test_an_entry_names_the_checkpoint_that_its_file_is_made_from(
    folder: str, exported: Exported, model: Model
) -> None:
    for artifact in manifest_of(exported, folder)["artifacts"]:
        held = model.held_for(artifact["format"], artifact["precision"])
        assert artifact["checkpoint_sha256"] == held.checkpoint_sha256


@each_folder
def test_an_entry_says_how_near_it_is_to_the_fp32_model_and_how_that_is_known(
    folder: str, exported: Exported
) -> None:
    """Six validation images say less than a record; fp16 has none."""
    sources = {"fp32": None, "fp16": "measured", **dict.fromkeys(("int8", "w4", "w3"), "recorded")}
    for artifact in manifest_of(exported, folder)["artifacts"]:
        accuracy = artifact["accuracy"]
        assert (accuracy and accuracy["source"]) == sources[artifact["precision"]]
        if accuracy is not None:
            assert accuracy["broken_limits"] == []
            assert accuracy["limits"]["auroc_drop"] > 0
        if accuracy is not None and accuracy["source"] == "measured":
            assert accuracy["images"] == 6
            assert (
                "0 of 6 labels flip (95 % interval 0.0% to 45.9%), for 2%"
                in (accuracy["undecided_limits"])
            )
        if accuracy is not None and accuracy["source"] == "recorded":
            figures = {k: v for k, v in RECORD.items() if k != "broken_limits"}
            assert figures.items() <= accuracy.items()


def test_every_format_has_its_session_options() -> None:
    assert all(facts.session for facts in FORMATS.values())


@each_folder
def test_a_manifest_lists_each_format_and_precision_of_its_platform(
    folder: str, exported: Exported
) -> None:
    listed = [(a["format"], a["precision"]) for a in manifest_of(exported, folder)["artifacts"]]
    expected = [
        (name, precision)
        for name in FORMATS
        for precision in FORMATS[name].precisions
        if folder in [FOLDERS[platform] for platform in FORMATS[name].platforms]
    ]
    assert listed == expected


@each_folder
def test_every_listed_file_has_its_size_and_hash(folder: str, exported: Exported) -> None:
    place = exported.root / folder
    for artifact in manifest_of(exported, folder)["artifacts"]:
        assert artifact["size_bytes"] == sum(entry["size_bytes"] for entry in artifact["files"])
        assert artifact["zipped_bytes"] == zipped_bytes(place / artifact["path"])
    for holder in [*manifest_of(exported, folder)["artifacts"], manifest_of(exported, folder)]:
        for entry in holder["files"]:
            content = (place / entry["path"]).read_bytes()
            assert entry["size_bytes"] == len(content)
            assert entry["sha256"] == hashlib.sha256(content).hexdigest()


@each_folder
def test_a_manifest_lists_every_file_that_is_there(folder: str, exported: Exported) -> None:
    place = exported.root / folder
    listed = {
        entry["path"]
        for artifact in manifest_of(exported, folder)["artifacts"]
        for entry in artifact["files"]
    }
    beside = [entry["path"] for entry in manifest_of(exported, folder)["files"]]
    present = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    assert {"labels.txt", "README.md"} <= set(beside)
    assert beside == sorted(set(beside) - listed)
    assert present == {MANIFEST_FILE, SUM_FILE, *listed, *beside}


@each_folder
def test_a_manifest_is_sorted_indented_and_ends_with_a_newline(
    folder: str, exported: Exported
) -> None:
    text = (exported.root / folder / MANIFEST_FILE).read_text(encoding="utf-8")
    again = json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert text == again


@each_folder
def test_no_absolute_path_is_in_a_manifest(folder: str, exported: Exported) -> None:
    places = (str(Path(__file__).parents[3]), str(Path.home()), tempfile.gettempdir())
    for text in strings(manifest_of(exported, folder)):
        assert not text.startswith(("/", "\\"))
        assert ":\\" not in text
        assert not any(f"{place}/" in text for place in places)


def test_an_exported_manifest_reads_back(exported: Exported) -> None:
    for folder in FOLDERS.values():
        manifest = read_manifest(exported.root / folder)
        assert manifest_document(manifest) == manifest_of(exported, folder)


@each_folder
def test_the_released_manifest_is_written_as_it_was_read(folder: str, tmp_path: Path) -> None:
    write_manifest(tmp_path, read_manifest(ROOT / folder))
    for name in (MANIFEST_FILE, SUM_FILE):
        assert (tmp_path / name).read_bytes() == (ROOT / folder / name).read_bytes()


def test_what_is_written_reads_back(manifest: dict[str, Any], tmp_path: Path) -> None:
    manifest["model"]["labels"] = ["größer", "klein"]
    written = as_manifest(manifest, "made")
    write_manifest(tmp_path, written)
    assert read_manifest(tmp_path) == written
    assert "größer" in (tmp_path / MANIFEST_FILE).read_text(encoding="utf-8")


@each_folder
def test_the_sum_next_to_a_manifest_is_its_own(folder: str, exported: Exported) -> None:
    place = exported.root / folder
    digest = hashlib.sha256((place / MANIFEST_FILE).read_bytes()).hexdigest()
    assert (place / SUM_FILE).read_bytes() == f"{digest}  manifest.json\n".encode()


def test_a_failed_artifact_cannot_be_written_into_a_manifest(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    first, *others = (whole := as_manifest(manifest, "made")).artifacts
    failed = replace(first, parity=replace(first.parity, status="fail"))
    with pytest.raises(ValueError, match=r"artifacts\[0\]\.parity\.status: 'fail'"):
        write_manifest(tmp_path, replace(whole, artifacts=(failed, *others)))
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_is_no_number_cannot_be_written(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    first, *others = (whole := as_manifest(manifest, "made")).artifacts
    broken = replace(first, parity=replace(first.parity, max_abs_diff=float("nan")))
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(tmp_path, replace(whole, artifacts=(broken, *others)))
    assert list(tmp_path.iterdir()) == []


REQUIRED = [
    ("schema",),
    ("model",),
    ("artifacts",),
    ("rejected",),
    ("files",),
    ("tools",),
    *(("model", key) for key in ("name", "version", "architecture", "labels", "threshold")),
    *(("model", key) for key in ("input", "checkpoint_sha256", "metrics")),
    *(("model", "input", k) for k in ("name", "dtype", "layout", "width", "height", "resize")),
    *(("artifacts", 0, key) for key in ("format", "precision", "path", "size_bytes", "files")),
    *(("artifacts", 0, k) for k in ("inputs", "outputs", "requires", "parity", "latency_ms")),
    *(("artifacts", 0, k) for k in ("checkpoint_sha256", "accuracy", "session")),
    *(("artifacts", 1, "accuracy", k) for k in ("source", "limits", "broken_limits")),
    ("artifacts", 0, "zipped_bytes"),
    *(("files", 0, key) for key in ("path", "size_bytes", "sha256")),
    *(("artifacts", 0, "files", 0, key) for key in ("path", "size_bytes", "sha256")),
    *(("artifacts", 0, "parity", key) for key in ("status", "reason", "images")),
    *(("artifacts", 0, "parity", k) for k in ("max_abs_diff", "label_flips", "tolerance")),
]


@pytest.mark.parametrize("place", REQUIRED, ids=lambda place: ".".join(map(str, place)))
def test_a_manifest_without_a_required_field_is_refused(
    place: tuple[str | int, ...], manifest: dict[str, Any], tmp_path: Path
) -> None:
    holder: Any = manifest
    for key in place[:-1]:
        holder = holder[key]
    del holder[place[-1]]
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    said = "accuracy" if "accuracy" in place else str(place[-1])
    with pytest.raises(BadInput, match=said):
        read_manifest(tmp_path)


def test_a_rejected_entry_without_its_reasons_is_refused(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    accuracy = copy.deepcopy(manifest["artifacts"][1]["accuracy"])
    entry = {"format": "onnx", "precision": "w3", "size_bytes": 1, "accuracy": accuracy}
    manifest["rejected"] = [entry]
    write_manifest(tmp_path, as_manifest(manifest, "made"))
    assert manifest_document(read_manifest(tmp_path))["rejected"] == [entry]
    del accuracy["broken_limits"]
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="broken_limits"):
        read_manifest(tmp_path)


def test_a_manifest_without_artifacts_is_refused(manifest: dict[str, Any], tmp_path: Path) -> None:
    """`check` would find nothing wrong with nothing, and exit with 0."""
    manifest["artifacts"] = []
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="artifacts"):
        read_manifest(tmp_path)


def test_an_unknown_field_is_refused(manifest: dict[str, Any], tmp_path: Path) -> None:
    manifest["model"]["sha256"] = "0"
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="sha256"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"schema": 2,', b"\xff\xfe", b"<xml/>"])
def test_a_damaged_manifest_is_bad_input(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(BadInput, match=r"manifest\.json is not JSON"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ["[]", "null", "3"])
def test_a_manifest_that_is_no_object_is_bad_input(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text(content)
    with pytest.raises(BadInput, match=r"manifest\.json is not a JSON object; export again"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("content", ['{"schema": 1}', '{"schema": 4}', "{}", '{"schema": "3"}'])
def test_a_manifest_of_another_schema_is_bad_input(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text(content)
    with pytest.raises(BadInput, match="this version reads 2 and 3; export again"):
        read_manifest(tmp_path)


def as_schema_2(manifest: dict[str, Any]) -> dict[str, Any]:
    """As an earlier release wrote it."""
    old = copy.deepcopy(manifest)
    old["schema"] = 2
    del old["files"]
    for artifact in old["artifacts"]:
        del artifact["zipped_bytes"]
    return old


def test_a_manifest_of_schema_2_is_read_as_one_of_today_without_what_it_lacks(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    old = as_schema_2(manifest)
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(old))
    found, whole = read_manifest(tmp_path), as_manifest(manifest, "made")
    assert not found.lists_files
    artifacts = tuple(replace(artifact, zipped_bytes=None) for artifact in whole.artifacts)
    assert found == replace(whole, schema=2, files=(), artifacts=artifacts)


def test_a_parity_without_evidence_was_published_before_there_was_any(
    manifest: dict[str, Any], tmp_path: Path
) -> None:
    del manifest["artifacts"][0]["parity"]["evidence"]
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    assert read_manifest(tmp_path).artifacts[0].parity.evidence is None


@pytest.mark.parametrize(
    ("latency", "place"),
    [
        ({"machine": {}, "threads": {"1": {"median": "fast", "p90": 1.0}}}, r".*\.median"),
        ({"machine": {}}, ""),
    ],
)
def test_a_field_of_another_type_is_refused_where_the_schema_leaves_it_open(
    latency: object, place: str, manifest: dict[str, Any], tmp_path: Path
) -> None:
    manifest["artifacts"][1]["latency_ms"] = latency
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match=rf"artifacts\[1\]\.latency_ms{place}`; export again"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "content", ['{"schema": 2}', '{"schema": 2, "artifacts": 7}', '{"schema": 2, "artifacts": [7]}']
)
def test_a_damaged_manifest_of_schema_2_is_bad_input(content: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text(content)
    with pytest.raises(BadInput, match="is damaged at"):
        read_manifest(tmp_path)


def test_a_missing_field_of_schema_2_is_refused(manifest: dict[str, Any], tmp_path: Path) -> None:
    old = as_schema_2(manifest)
    del old["artifacts"][0]["session"]
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(old))
    with pytest.raises(BadInput, match=r"artifacts\[0\].*session"):
        read_manifest(tmp_path)


def test_a_missing_manifest_is_bad_input_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no assets at .*`python -m export all` makes them"):
        read_manifest(tmp_path / "nowhere")


def test_entries_of_a_folder_are_sorted_and_relative(tmp_path: Path) -> None:
    package = tmp_path / "x.mlpackage"
    for name in ("b.txt", "a/c.txt", "a/b.txt"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(name)
    entries = file_entries(tmp_path, "x.mlpackage")
    assert [entry.path for entry in entries] == [
        "x.mlpackage/a/b.txt",
        "x.mlpackage/a/c.txt",
        "x.mlpackage/b.txt",
    ]
    assert [entry.size_bytes for entry in entries] == [7, 7, 5]
