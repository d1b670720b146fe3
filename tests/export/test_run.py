from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from export.assets import FOLDERS
from export.conversion import Conversion
from export.formats import FORMATS
from export.formats.base import Tolerance
from export.manifest import read_manifest
from export.run import plan
from pipeline.errors import BadInput, MissingDependency
from tests.export.conftest import (
    ARTIFACTS,
    Artifacts,
    Exported,
    Model,
    request_export,
    run_export,
    tree,
)


def report_of(exported: Exported) -> dict[str, object]:
    return json.loads((exported.build / "report.json").read_text(encoding="utf-8"))


def statuses(exported: Exported) -> dict[tuple[str, str], str]:
    artifacts = report_of(exported)["artifacts"]
    return {(a["format"], a["precision"]): a["parity"]["status"] for a in artifacts}


def published(exported: Exported) -> dict[str, set[str]]:
    """Folder -> what of an artifact is in it."""
    beside = {"README.md", "labels.txt", "manifest.json"}
    return {p.name: {a.name for a in p.iterdir()} - beside for p in exported.root.iterdir()}


@pytest.fixture
def converted(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Conversions are taken from the session's artifacts; name a format here and it fails."""
    errors: dict[str, str] = {}

    def convert_all(
        checkpoint: Path, wanted: dict[str, tuple[str, ...]], folder: Path, jobs: int
    ) -> Iterator[Conversion]:
        for name in reversed(wanted):  # as they are finished, not as they are registered
            for precision in wanted[name]:
                path = artifacts[name, precision]
                done = Conversion(name, precision, path, 0.1, FORMATS[name].describe(path))
                if name in errors:
                    done = replace(done, description=None, error=errors[name])
                yield done

    monkeypatch.setattr("export.run.convert_all", convert_all)
    return errors


# --- the whole, for real ----------------------------------------------------------------------


def test_a_whole_export_exits_0_and_fills_both_folders(exported: Exported) -> None:
    assert exported.code == 0
    assert published(exported) == {
        "android_assets": {"tiny_fp32.onnx", "tiny_fp32.ort", "tiny_fp32.ptl"},
        "ios_assets": {"tiny_fp32.onnx", "tiny_fp32.mlpackage", "tiny_fp16.mlpackage"},
    }


def test_every_artifact_of_the_register_is_in_the_report_with_its_verdict(
    exported: Exported,
) -> None:
    assert statuses(exported) == dict.fromkeys(ARTIFACTS, "pass")
    assert list(statuses(exported)) == ARTIFACTS  # in the register's order


def test_the_report_says_what_was_done_with_what(exported: Exported, model: Model) -> None:
    report = report_of(exported)
    assert report["command"] == "all"
    assert report["failed"] is False
    assert report["published"] == list(FOLDERS.values())
    assert report["model"]["checkpoint_sha256"] == model.identity
    assert report["images"] == "6 validation images of xrays and 13 hard images"
    assert report["seconds"] > 0
    assert report["tools"]["torch"]


def test_the_manifest_holds_the_verdicts_of_the_report(exported: Exported) -> None:
    report = {(a["format"], a["precision"]): a for a in report_of(exported)["artifacts"]}
    for folder in FOLDERS.values():
        for artifact in read_manifest(exported.root / folder)["artifacts"]:
            said = report[artifact["format"], artifact["precision"]]
            assert artifact["parity"] == said["parity"]
            assert artifact["size_bytes"] == said["size_bytes"]


def test_what_is_published_is_what_was_proven(exported: Exported) -> None:
    for folder in FOLDERS.values():
        for artifact in read_manifest(exported.root / folder)["artifacts"]:
            for file in artifact["files"]:
                copy = exported.root / folder / file["path"]
                assert copy.read_bytes() == (exported.build / file["path"]).read_bytes()


def test_the_terminal_shows_the_verdict_and_the_intended_use(exported: Exported) -> None:
    assert "5 passed, 0 failed, 0 not run of 5 artifacts" in exported.output
    assert "run by onnxruntime: onnx fp32, ort fp32" in exported.output
    assert "Research only. Not a medical device" in exported.output
    assert str(exported.build / "report.json") in exported.output.replace("\n", "")


# --- the same with conversions at hand --------------------------------------------------------


def export(model: Model, data: Path, place: Path, **changes: object) -> Exported:
    return run_export(request_export(model, data, place / "assets", place / "build", **changes))


def test_strict_exits_1_where_something_could_not_be_run(
    converted: dict[str, str], model: Model, data: Path, tmp_path: Path
) -> None:
    assert export(model, data, tmp_path, strict=True).code == 0
    part = tuple(name for name in FORMATS if name != "ort")
    assert export(model, data, tmp_path, formats=part).code == 0
    assert export(model, data, tmp_path, formats=part, strict=True).code == 1


@pytest.mark.parametrize("name", FORMATS)
def test_an_artifact_beyond_its_tolerance_is_not_published_and_the_others_are(
    name: str,
    converted: dict[str, str],
    exported: Exported,
    model: Model,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(FORMATS[name].TOLERANCES, "fp32", Tolerance(0.0, 0.0, "for this test"))
    done = export(model, data, tmp_path)
    assert done.code == 1
    assert statuses(done) == {**statuses(exported), (name, "fp32"): "fail"}
    artifact = f"tiny_fp32{FORMATS[name].SUFFIX}"
    expected = {folder: names - {artifact} for folder, names in published(exported).items()}
    assert published(done) == expected
    (failed,) = [a for a in report_of(done)["artifacts"] if a["parity"]["status"] == "fail"]
    assert failed["place"] == ""
    assert "max |Δp|" in failed["parity"]["reason"]
    assert f"{name} fp32: max |Δp|" in done.output


def test_a_failed_conversion_is_not_published_and_the_others_are(
    converted: dict[str, str], exported: Exported, model: Model, data: Path, tmp_path: Path
) -> None:
    converted["coreml"] = "ValueError: no such operation (see coreml.log)"
    done = export(model, data, tmp_path)
    assert done.code == 1
    assert published(done) == {**published(exported), "ios_assets": {"tiny_fp32.onnx"}}
    for precision in ("fp32", "fp16"):
        assert statuses(done)["coreml", precision] == "fail"
    reason = "conversion failed: ValueError: no such operation (see coreml.log)"
    assert f"coreml fp16: {reason}" in done.output


def test_a_platform_whose_artifacts_all_failed_keeps_its_old_folder(
    converted: dict[str, str], model: Model, data: Path, tmp_path: Path
) -> None:
    old = tmp_path / "assets" / "ios_assets"
    old.mkdir(parents=True)
    (old / "old.mlpackage").write_bytes(b"old")
    (old / "manifest.json").write_bytes(b"{}")  # what makes it a folder of ours
    converted["coreml"] = converted["onnx"] = "no"
    done = export(model, data, tmp_path)
    assert done.code == 1
    assert tree(old) == {"manifest.json": b"{}", "old.mlpackage": b"old"}
    assert published(done)["android_assets"] == {"tiny_fp32.ort", "tiny_fp32.ptl"}
    assert report_of(done)["published"] == ["android_assets"]


def test_when_everything_failed_nothing_is_published_and_the_report_says_so(
    converted: dict[str, str], model: Model, data: Path, tmp_path: Path
) -> None:
    converted.update(dict.fromkeys(FORMATS, "no"))
    done = export(model, data, tmp_path)
    assert done.code == 1
    assert not done.root.exists()
    assert set(statuses(done).values()) == {"fail"}
    assert "published: nothing" in done.output


def test_formats_that_were_left_out_are_in_the_report_as_not_run(
    converted: dict[str, str], model: Model, data: Path, tmp_path: Path
) -> None:
    done = export(model, data, tmp_path, formats=("torchscript",))
    assert done.code == 0
    assert published(done) == {"android_assets": {"tiny_fp32.ptl"}}
    assert "1 passed, 0 failed, 3 not run of 4 artifacts" in done.output
    left_out = {k: v for k, v in statuses(done).items() if k[0] != "torchscript"}
    assert set(left_out.values()) == {"not_run"}
    assert {name for name, _ in left_out} == FORMATS.keys() - {"torchscript"}
    for name in left_out:
        assert f"{name[0]} {name[1]}: left out by --formats" in done.output


def test_exporting_twice_replaces_the_folders(
    converted: dict[str, str], model: Model, data: Path, tmp_path: Path
) -> None:
    export(model, data, tmp_path)
    (tmp_path / "assets" / "android_assets" / "stray.txt").write_text("x")
    first = published(export(model, data, tmp_path))
    assert "stray.txt" not in first["android_assets"]
    assert set(first) == set(FOLDERS.values())


# --- the plan ---------------------------------------------------------------------------------


def test_a_plan_has_every_precision_in_the_registers_order() -> None:
    assert plan(tuple(reversed(FORMATS))) == {
        name: tuple(FORMATS[name].TOLERANCES) for name in FORMATS
    }
    assert list(plan(tuple(reversed(FORMATS)))) == list(FORMATS)


def test_an_unknown_format_is_bad_input_that_names_the_known() -> None:
    with pytest.raises(BadInput, match="unknown format 'tflite'; there are: onnx, ort"):
        plan(("onnx", "tflite"))


def test_a_missing_converter_is_named_with_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.errors.find_spec", lambda name: None if name == "coremltools" else name
    )
    with pytest.raises(MissingDependency) as caught:
        plan(tuple(FORMATS))
    assert "coreml needs coremltools" in str(caught.value)
    assert "'.[coreml]'" in str(caught.value)
    assert str(caught.value).endswith("--formats onnx,ort,torchscript")


def test_no_empty_way_out_is_offered_where_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.errors.find_spec", lambda name: None)
    with pytest.raises(MissingDependency) as caught:
        plan(("coreml",))
    assert not str(caught.value).rstrip().endswith("--formats")
