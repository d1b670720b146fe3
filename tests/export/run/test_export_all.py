from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from export.cli.main import main
from export.formats.description import Tolerance
from export.formats.register import FORMATS
from export.manifest.manifest import manifest_document, read_manifest
from export.parity.check import ParityResult
from export.parity.outcome import Conversion
from export.parity.quality_gate import GateResult, judge_quality
from export.parity.rounding_noise import RoundingNoise
from export.publish.assets import FOLDERS
from export.report.report import read_report, report_json
from export.run.convert import convert_all
from export.run.export_all import plan, split_by_variant
from pipeline.checkpoint import SPEC_FILE, open_checkpoint, write_checkpoint
from pipeline.errors import BadInput, MissingDependency
from pipeline.json_files import read_json
from pipeline.metrics.quality_limits import Limits, broken_limits
from pipeline.models.networks import load_network
from tests.conftest import LABELS, write_images
from tests.export.conftest import (
    ARTIFACTS,
    Artifacts,
    Exported,
    Model,
    StandIn,
    convert,
    put_in_place,
    read_model,
    request_export,
    run_export,
    tree,
)
from tests.printed_commands import printed_commands

pytestmark = pytest.mark.slow("exports every format")


def report_of(exported: Exported) -> dict[str, object]:
    return json.loads((exported.build / "report.json").read_text(encoding="utf-8"))


def statuses(exported: Exported) -> dict[tuple[str, str], str]:
    artifacts = report_of(exported)["artifacts"]
    return {(a["format"], a["precision"]): a["parity"]["status"] for a in artifacts}


def published(exported: Exported) -> dict[str, set[str]]:
    """Folder -> its content, without what the manifest lists next to the artifacts."""
    return {p.name: {a.name for a in p.iterdir()} - beside(p) for p in exported.root.iterdir()}


def beside(folder: Path) -> set[str]:
    """First parts of the paths of files that belong to no artifact."""
    files = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("files", [])
    return {file["path"].split("/")[0] for file in files} | {
        "manifest.json",
        "manifest.json.sha256",
    }


def verdicts(exported: Exported) -> dict[tuple[str, str], str]:
    artifacts = report_of(exported)["artifacts"]
    return {(a["format"], a["precision"]): a["verdict"] for a in artifacts}


def everything() -> dict[str, set[str]]:
    """Folder -> everything for its platform."""
    return {
        folder: {
            f"tiny_{precision}{FORMATS[name].suffix}"
            for name, precision in ARTIFACTS
            if platform in FORMATS[name].platforms
        }
        for platform, folder in FOLDERS.items()
    }


# --- each checkpoint.json once -----------------------------------------------------------------


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The checkpoint.json files that this process parses, each time that it does."""
    paths: list[Path] = []

    def counted(path: Path, **asked: object) -> object:
        paths.append(path)
        return read_json(path, **asked)

    monkeypatch.setattr("pipeline.checkpoint.read_json", counted)
    return paths


@pytest.mark.usefixtures("converted")
def test_checkpoint_json_is_parsed_once_for_each_checkpoint(
    model: Model, data: Path, tmp_path: Path, parsed: list[Path]
) -> None:
    folder = Path(shutil.copytree(model.folder, tmp_path / "model"))  # the fixtures have their own
    places = {"root": tmp_path / "assets", "build": tmp_path / "build"}
    request = request_export(model, data, **places, checkpoint=folder)
    assert run_export(request).code == 0
    found = [path.relative_to(folder) for path in parsed if path.is_relative_to(folder)]
    assert sorted(map(str, found)) == [
        SPEC_FILE, *(f"{precision}/{SPEC_FILE}" for precision in ("int8", "w3", "w4"))
    ]  # fmt: skip


def test_the_processes_that_convert_and_check_parse_no_checkpoint_json(
    model: Model, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cannot: it is removed while they work."""
    folder = Path(shutil.copytree(model.folder, tmp_path / "model"))

    def convert_without_json(*asked: object) -> Iterator[Conversion]:
        for path in folder.rglob(SPEC_FILE):
            path.unlink()
        yield from convert_all(*asked)

    monkeypatch.setattr("export.run.export_all.convert_all", convert_without_json)
    few = {"formats": ("torchscript",), "precisions": ("fp32", "int8"), "checkpoint": folder}
    done = run_export(request_export(model, data, tmp_path / "assets", tmp_path / "build", **few))
    assert "2 passed, 0 failed" in done.output


# --- the whole, for real ----------------------------------------------------------------------


def test_a_whole_export_exits_0_and_fills_both_folders(exported: Exported) -> None:
    assert exported.code == 0
    assert published(exported) == everything()
    assert {"tiny_fp32.ptl", "tiny_int8.ort", "tiny_w3.onnx"} <= everything()["android_assets"]
    assert {"tiny_fp16.mlpackage", "tiny_w4.onnx"} <= everything()["ios_assets"]
    for folder, code in (("android_assets", "build.gradle.kts"), ("ios_assets", "Package.swift")):
        found = beside(exported.root / folder)
        assert {code, "golden", "required_operators.config", "labels.txt"} <= found


def test_every_artifact_of_the_register_is_in_the_report_with_its_verdict(
    exported: Exported,
) -> None:
    assert statuses(exported) == verdicts(exported) == dict.fromkeys(ARTIFACTS, "pass")
    assert list(statuses(exported)) == ARTIFACTS  # in the register's order


def test_each_artifact_was_compared_with_its_own_variant(exported: Exported, model: Model) -> None:
    """In fp32 arithmetic files of few bits equal their variant, but not the fp32 model."""
    found = {(a["format"], a["precision"]): a["parity"] for a in report_of(exported)["artifacts"]}
    for name in ("onnx", "torchscript"):
        for precision in ("w4", "w3"):
            assert found[name, precision]["max_abs_diff"] <= 1e-4
    variants = [model.references.of(variant).probs for variant in ("w4", "w3")]
    assert all(np.abs(probs - model.reference).max() > 1e-2 for probs in variants)


def test_every_part_of_the_check_was_done_for_every_artifact(exported: Exported) -> None:
    for artifact in report_of(exported)["artifacts"]:
        parts = artifact["parity"]["parts"]
        assert parts.keys() >= {"contract", "weights", "outputs"}
        assert set(parts.values()) == {"pass"}


def test_the_report_says_what_was_done_with_what(exported: Exported, model: Model) -> None:
    report = report_of(exported)
    assert report["command"] == "all"
    assert report["failed"] is False
    assert report["published"] == list(FOLDERS.values())
    assert report["model"]["checkpoint_sha256"] == model.identity
    assert report["images"] == "6 validation images of xrays, 17 golden and 13 hard images"
    assert report["refused"].keys() == {name for name in FORMATS if FORMATS[name].refused}
    assert report["refused"]["ort"] == FORMATS["ort"].refused
    assert report["seconds"] > 0
    assert report["tools"]["torch"]


def test_the_report_is_what_its_schema_says_and_holds_what_the_page_shows(
    exported: Exported, model: Model
) -> None:
    report = report_json(read_report(exported.build / "report.json"))
    assert report == {**report_of(exported), "schema": 2}
    manifests = [
        json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for folder in exported.root.iterdir()
    ]
    entries = {
        (entry["format"], entry["precision"]): entry
        for manifest in manifests
        for entry in manifest["artifacts"]
    }
    for artifact in report["artifacts"]:
        entry = entries[artifact["format"], artifact["precision"]]
        assert artifact["file"] == {name: entry[name] for name in artifact["file"]}
        assert artifact["differences"]["images"] == artifact["parity"]["images"]
        bins = artifact["differences"]["histogram"]
        assert bins[-1]["low"] <= artifact["parity"]["max_abs_diff"] <= bins[-1]["high"]
        assert artifact["classification"]["images"] == 6
    assert report["classification"]["figures"]["images"] == 6
    assert len(report["worst_images"]) == 10
    assert len(report["worst_images"][0]["answers"]) == len(report["artifacts"])
    assert report["training"]["history"]["status"] == "not_run"
    assert "no history.csv" in report["training"]["history"]["reason"]


def test_the_page_is_next_to_the_report_and_its_path_is_printed(exported: Exported) -> None:
    page = (exported.build / "report.html").read_text(encoding="utf-8")
    assert str(report_of(exported)["verdict"]) in page
    assert f"report page: {exported.build / 'report.html'}" in exported.output.replace("\n", "")


def test_without_the_packages_of_the_page_it_is_said_and_the_exit_code_stays(
    model: Model, data: Path, tmp_path: Path, converted: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise MissingDependency("the report page needs altair, not installed here")

    monkeypatch.setattr("export.report.page.write.require", lambda *_, what: missing())
    request = request_export(
        model, data, tmp_path / "assets", tmp_path / "build", formats=("onnx",)
    )
    exported = run_export(request)
    assert exported.code == 0
    assert "report page not run: the report page needs altair" in exported.output
    assert not (exported.build / "report.html").exists()


def test_the_manifest_holds_the_verdicts_of_the_report(exported: Exported) -> None:
    report = {(a["format"], a["precision"]): a for a in report_of(exported)["artifacts"]}
    for folder in FOLDERS.values():
        document = manifest_document(read_manifest(exported.root / folder))
        for artifact in document["artifacts"]:
            said = report[artifact["format"], artifact["precision"]]
            assert artifact["parity"] == said["parity"]
            assert artifact["accuracy"] == said["accuracy"]
            assert artifact["size_bytes"] == said["size_bytes"]


def test_what_is_published_is_what_was_proven(exported: Exported) -> None:
    for folder in FOLDERS.values():
        for artifact in read_manifest(exported.root / folder).artifacts:
            for file in artifact.files:
                copy = exported.root / folder / file.path
                assert copy.read_bytes() == (exported.build / file.path).read_bytes()


def test_the_terminal_shows_the_verdict_and_the_intended_use(exported: Exported) -> None:
    count = len(ARTIFACTS)
    assert f"{count} passed, 0 failed, 0 not run of {count} artifacts" in exported.output
    by_onnxruntime = [f"{name} {p}" for name, p in ARTIFACTS if name in ("onnx", "ort")]
    assert f"run by onnxruntime: {', '.join(by_onnxruntime)}" in exported.output
    assert "ort has no fp16, w4, w3: constants are folded" in exported.output
    assert "Research only. Not a medical device" in exported.output
    assert str(exported.build / "report.json") in exported.output.replace("\n", "")


# --- the same with conversions at hand --------------------------------------------------------


def export(model: Model, data: Path, place: Path, **changes: object) -> Exported:
    return run_export(request_export(model, data, place / "assets", place / "build", **changes))


def test_strict_exits_1_where_something_could_not_be_run(
    converted: StandIn, model: Model, data: Path, tmp_path: Path
) -> None:
    few = {"precisions": ("fp32", "w4")}
    assert export(model, data, tmp_path, strict=True, **few).code == 0
    part = tuple(name for name in FORMATS if name != "ort")
    assert export(model, data, tmp_path, formats=part, **few).code == 0
    assert export(model, data, tmp_path, formats=part, strict=True, **few).code == 1


def no_noise(graph: object, arithmetic: str, rows: np.ndarray, *_: object) -> RoundingNoise:
    """Of a network that rounds nothing, so that a tolerance of zero allows nothing."""
    return RoundingNoise(np.zeros(len(rows)), np.zeros(len(rows)))


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "fp32") for name in FORMATS), ("onnx", "w3"), ("ort", "int8")]
)
def test_an_artifact_beyond_its_tolerance_is_not_published_and_the_others_are(
    name: str,
    precision: str,
    converted: StandIn,
    model: Model,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts = FORMATS[name].precisions[precision]
    tight = replace(facts, tolerance=Tolerance(0.0, 0.0, "for this test"))
    monkeypatch.setitem(FORMATS[name].precisions, precision, tight)
    monkeypatch.setattr("export.parity.allowance.rounding_noise", no_noise)
    done = export(model, data, tmp_path, precisions=tuple({precision, "w4"}))
    assert done.code == 1
    asked = [a for a in ARTIFACTS if a[1] in (precision, "w4")]
    assert {a: statuses(done)[a] for a in asked} == {
        **dict.fromkeys(asked, "pass"), (name, precision): "fail"
    }  # fmt: skip
    others = {f"tiny_{p}{FORMATS[n].suffix}" for n, p in asked if (n, p) != (name, precision)}
    assert published(done) == {folder: names & others for folder, names in everything().items()}
    (failed,) = [a for a in report_of(done)["artifacts"] if a["parity"]["status"] == "fail"]
    assert failed["place"] == ""
    assert "max |Δp|" in failed["parity"]["reason"]
    assert f"{name} {precision}: max |Δp|" in done.output


def test_the_command_that_looks_closer_does_so_as_it_was_printed(
    converted: StandIn,
    model: Model,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "it's here"
    images = Path(shutil.copytree(data, place / "my images"))
    facts = FORMATS["onnx"].precisions["fp32"]
    tight = replace(facts, tolerance=Tolerance(0.0, 0.0, "for this test"))
    monkeypatch.setitem(FORMATS["onnx"].precisions, "fp32", tight)
    monkeypatch.setattr("export.parity.allowance.rounding_noise", no_noise)
    few = {"formats": ("onnx",), "precisions": ("fp32",), "image_limit": 2}
    done = export(model, images, place, **few)
    (line,) = printed_commands(done.output)
    python, option, module, *arguments = shlex.split(line)
    assert (python, option, module, arguments[0]) == ("python", "-m", "export", "explain")
    assert main(arguments) in (0, 1), capsys.readouterr().err
    given = dict(pairwise(arguments))
    assert Path(given["--artifact"]).is_file()
    assert (given["--checkpoint"], given["--data"]) == (str(model.folder), str(images))
    assert given["--images"] == "2"


def test_a_failed_conversion_is_not_published_and_the_others_are(
    converted: StandIn, exported: Exported, model: Model, data: Path, tmp_path: Path
) -> None:
    converted.errors["coreml"] = "ValueError: no such operation (see coreml.log)"
    done = export(model, data, tmp_path)
    assert done.code == 1
    of_onnx = {name for name in everything()["ios_assets"] if name.endswith(".onnx")}
    assert published(done) == {**published(exported), "ios_assets": of_onnx}
    for precision in FORMATS["coreml"].precisions:
        assert statuses(done)["coreml", precision] == "fail"
    reason = "conversion failed: ValueError: no such operation (see coreml.log)"
    assert f"coreml fp16: {reason}" in done.output


def test_a_platform_whose_artifacts_all_failed_keeps_its_old_folder(
    converted: StandIn, model: Model, data: Path, tmp_path: Path
) -> None:
    old = tmp_path / "assets" / "ios_assets"
    old.mkdir(parents=True)
    (old / "old.mlpackage").write_bytes(b"old")
    (old / "manifest.json").write_bytes(b"{}")  # what makes it a folder of ours
    converted.errors.update(coreml="no", onnx="no")
    done = export(model, data, tmp_path)
    assert done.code == 1
    assert tree(old) == {"manifest.json": b"{}", "old.mlpackage": b"old"}
    rest = {name for name in everything()["android_assets"] if not name.endswith(".onnx")}
    assert published(done)["android_assets"] == rest
    assert report_of(done)["published"] == ["android_assets"]


def test_when_everything_failed_nothing_is_published_and_the_report_says_so(
    converted: StandIn, model: Model, data: Path, tmp_path: Path
) -> None:
    converted.errors.update(dict.fromkeys(FORMATS, "no"))
    done = export(model, data, tmp_path)
    assert done.code == 1
    assert not done.root.exists()
    assert set(statuses(done).values()) == {"fail"}
    assert "published: nothing" in done.output


def test_formats_that_were_left_out_are_in_the_report_as_not_run(
    converted: StandIn, model: Model, data: Path, tmp_path: Path
) -> None:
    done = export(model, data, tmp_path, formats=("torchscript",))
    assert done.code == 0
    lite = {name for name in everything()["android_assets"] if name.endswith(".ptl")}
    assert published(done) == {"android_assets": lite}
    count = len(lite)
    assert f"{count} passed, 0 failed, 3 not run of {count + 3} artifacts" in done.output
    left_out = {k: v for k, v in statuses(done).items() if k[0] != "torchscript"}
    assert set(left_out.values()) == {"not_run"}
    assert {name for name, _ in left_out} == FORMATS.keys() - {"torchscript"}
    for name in left_out:
        assert f"{name[0]} {name[1]}: left out by --formats" in done.output


def test_exporting_twice_replaces_the_folders(
    converted: StandIn, model: Model, data: Path, tmp_path: Path
) -> None:
    few = {"precisions": ("fp32", "w3")}
    export(model, data, tmp_path, **few)
    (tmp_path / "assets" / "android_assets" / "stray.txt").write_text("x")
    first = published(export(model, data, tmp_path, **few))
    assert "stray.txt" not in first["android_assets"]
    assert set(first) == set(FOLDERS.values())


# --- what the checkpoint has no variant for -----------------------------------------------------


@pytest.fixture(scope="module")
def partly(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The checkpoint with w4 as its only variant."""
    folder = Path(shutil.copytree(checkpoint, tmp_path_factory.mktemp("partly") / "tiny"))
    for precision in ("int8", "w3"):
        shutil.rmtree(folder / precision)
    return read_model(folder)


def test_without_a_variant_an_artifact_is_not_run_and_says_what_makes_it(
    converted: StandIn, partly: Model, data: Path, tmp_path: Path
) -> None:
    done = export(partly, data, tmp_path)
    absent = [(name, p) for name, p in ARTIFACTS if p in ("int8", "w3")]
    assert done.code == 0
    assert {k: v for k, v in statuses(done).items() if v != "pass"} == dict.fromkeys(
        absent, "not_run"
    )
    for name, precision in absent:
        assert (
            f"{name} {precision}: {partly.folder} is not compressed to {precision}" in done.output
        )
    compress = f"python -m pipeline compress {partly.folder} --data {data} --precisions int8"
    assert f"`{compress}`" in done.output
    names = {name for folder in published(done).values() for name in folder}
    assert [name for name in names if "int8" in name or "w3" in name] == []
    assert "tiny_w4.onnx" in names
    assert not set(converted.asked) & set(absent)


def test_strict_a_missing_variant_is_a_failure(
    converted: StandIn, partly: Model, data: Path, tmp_path: Path
) -> None:
    few = {"formats": ("onnx",), "precisions": ("fp32", "w3")}
    assert export(partly, data, tmp_path, **few).code == 0
    assert export(partly, data, tmp_path, strict=True, **few).code == 1


def test_only_what_has_no_variant_publishes_nothing_and_replaces_nothing(
    converted: StandIn, partly: Model, data: Path, tmp_path: Path
) -> None:
    done = export(partly, data, tmp_path, formats=("onnx",), precisions=("w3",))
    assert converted.asked == []
    assert "published: nothing" in done.output
    assert statuses(done)["onnx", "w3"] == "not_run"


# --- the quality gate -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough validation images to measure with."""
    root = tmp_path_factory.mktemp("many") / "xrays"
    for split, count in (("train", 1), ("valid", 30)):
        for label in LABELS:
            write_images(root / split, label, count, len(split))
    return root


def test_with_enough_images_every_reduced_precision_is_measured(
    converted: StandIn, model: Model, many: Path, tmp_path: Path
) -> None:
    done = export(model, many, tmp_path, formats=("onnx",))
    found = {a["precision"]: a["accuracy"] for a in report_of(done)["artifacts"] if a["accuracy"]}
    assert {p: accuracy["source"] for p, accuracy in found.items()} == dict.fromkeys(
        ("fp16", "int8", "w4", "w3"), "measured"
    )
    assert {accuracy["images"] for accuracy in found.values()} == {60}


REASONS = ("AUROC drops by 0.1000 (0.0500 to 0.1500), more than 0.005", "recall drops by 0.3000")
GATED = {"formats": ("onnx", "torchscript"), "precisions": ("fp32", "w4", "w3")}


def judged(precision: str, *arguments: object) -> GateResult | None:
    found = judge_quality(precision, *arguments)
    return replace(found, broken=REASONS) if precision == "w3" else found


@pytest.fixture
def demanding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate finds that only w3 loses too much."""
    monkeypatch.setattr("export.run.export_all.judge_quality", judged)


@pytest.fixture(scope="module")
def gated(
    model: Model,
    data: Path,
    artifacts: Artifacts,
    remembered: Callable[..., ParityResult],
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:
    """An export through that gate."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.run.export_all.judge_quality", judged)
        put_in_place(StandIn(artifacts), remembered, patch)
        return export(model, data, tmp_path_factory.mktemp("gated"), **GATED)


def test_a_rejected_artifact_is_not_published_and_the_others_are(gated: Exported) -> None:
    assert gated.code == 0
    assert published(gated) == {
        "android_assets": {"tiny_fp32.onnx", "tiny_w4.onnx", "tiny_fp32.ptl", "tiny_w4.ptl"},
        "ios_assets": {"tiny_fp32.onnx", "tiny_w4.onnx"},
        "web_assets": {"tiny_fp32.onnx", "tiny_w4.onnx"},
    }


def test_a_rejected_artifact_is_in_the_manifest_with_its_numbers(
    gated: Exported, artifacts: Artifacts
) -> None:
    expected = {
        "android_assets": ["onnx", "torchscript"],
        "ios_assets": ["onnx"],
        "web_assets": ["onnx"],
    }
    for folder, names in expected.items():
        rejected = read_manifest(gated.root / folder).rejected
        assert [(e.format, e.precision) for e in rejected] == [(n, "w3") for n in names]
        for entry in rejected:
            assert entry.size_bytes == artifacts[entry.format, "w3"].stat().st_size
            assert entry.accuracy.broken_limits == tuple(REASONS)
            assert entry.accuracy.auroc == 0.9


def test_a_rejected_artifact_is_neither_passed_nor_failed_in_the_report(gated: Exported) -> None:
    assert verdicts(gated)["onnx", "w3"] == verdicts(gated)["torchscript", "w3"] == "rejected"
    assert verdicts(gated)["onnx", "w4"] == "pass"
    report = report_of(gated)
    assert report["failed"] is False
    (row,) = [a for a in report["artifacts"] if (a["format"], a["precision"]) == ("onnx", "w3")]
    assert row["place"] == ""
    assert row["parity"]["status"] == "pass"
    assert row["accuracy"]["broken_limits"] == list(REASONS)
    assert "4 passed, 0 failed, 2 rejected, 2 not run of 8 artifacts" in gated.output
    assert f"onnx w3: {'; '.join(REASONS)}" in gated.output
    assert "not fit to be published" in gated.output


def test_a_rejection_says_what_would_change_it(gated: Exported) -> None:
    assert "compress to w3 again" in gated.output
    assert "`export all --accept w3`" in gated.output


def test_strict_a_rejected_artifact_is_a_failure(
    converted: StandIn, demanding: None, model: Model, data: Path, tmp_path: Path
) -> None:
    few = {"precisions": ("fp32", "w3")}
    assert export(model, data, tmp_path, **few).code == 0
    assert export(model, data, tmp_path, strict=True, **few).code == 1


def test_what_is_rejected_is_published_on_request_and_the_fact_is_written(
    converted: StandIn, demanding: None, model: Model, data: Path, tmp_path: Path
) -> None:
    done = export(model, data, tmp_path, accept=("w3",), strict=True, **GATED)
    assert "tiny_w3.onnx" in published(done)["web_assets"]
    assert verdicts(done)["onnx", "w3"] == "accepted"
    manifest = read_manifest(done.root / "web_assets")
    assert manifest.rejected == ()
    (entry,) = [e for e in manifest.artifacts if e.precision == "w3"]
    assert entry.accuracy.accepted is True
    assert entry.accuracy.broken_limits == tuple(REASONS)
    others = [e.accuracy for e in manifest.artifacts if e.precision == "w4"]
    assert [accuracy.accepted for accuracy in others] == [None]
    readme = (done.root / "web_assets" / "README.md").read_text(encoding="utf-8")
    assert f"**loses too much, published on request**: {'; '.join(REASONS)}" in readme
    assert "4 passed, 2 accepted, 0 failed, 2 not run of 8 artifacts" in done.output
    assert f"onnx w3: {'; '.join(REASONS)}" in done.output
    assert "ACCEPTED" in (done.build / "report.html").read_text(encoding="utf-8")


def test_the_command_that_accepts_what_is_rejected_does_so_as_it_was_printed(
    converted: StandIn,
    demanding: None,
    model: Model,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "it's été"
    images = Path(shutil.copytree(data, place / "my images"))
    done = export(model, images, place, budget_bytes=10**8, **GATED)
    assert "tiny_w3.onnx" not in published(done)["web_assets"]
    (line,) = printed_commands(done.output)
    python, option, module, *arguments = shlex.split(line)
    assert (python, option, module) == ("python", "-m", "export")
    assert "--no-latency" in arguments
    assert "--strict" not in arguments
    assert main(arguments) == 0, capsys.readouterr().err
    again = read_manifest(done.root / "web_assets")
    assert again.rejected == ()
    assert {e.precision for e in again.artifacts if e.accuracy and e.accuracy.accepted} == {"w3"}
    assert {e.precision for e in again.artifacts} == {"fp32", "w4", "w3"}


def test_a_file_that_is_wrong_is_never_accepted(
    converted: StandIn, demanding: None, model: Model, data: Path, tmp_path: Path
) -> None:
    converted.errors["onnx"] = "no"
    done = export(model, data, tmp_path, accept=("w3",), **GATED)
    assert verdicts(done)["onnx", "w3"] == "fail"
    assert verdicts(done)["torchscript", "w3"] == "accepted"
    assert done.code == 1


def test_what_is_measured_to_be_too_bad_is_rejected(
    converted: StandIn,
    model: Model,
    many: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through the whole gate, with limits that nothing can meet."""
    none = Limits(auroc_drop=-1.0, flip_rate=0.0, recall_drop=-1.0)
    monkeypatch.setattr(
        "export.parity.quality_gate.broken_limits", lambda c: broken_limits(c, none)
    )
    done = export(model, many, tmp_path, formats=("onnx",))
    assert done.code == 0
    assert published(done)["android_assets"] == {"tiny_fp32.onnx"}
    assert {k: v for k, v in verdicts(done).items() if k[0] == "onnx" and v != "rejected"} == {
        ("onnx", "fp32"): "pass"
    }


def test_a_recorded_loss_rejects_where_there_are_no_images_to_measure_with(
    converted: StandIn, checkpoint: Path, data: Path, tmp_path: Path, artifacts: Artifacts
) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "tiny"))
    opened = open_checkpoint(folder / "w4")
    spec, grids = opened.spec, opened.grids()
    record = {**spec.compression.comparison, "broken_limits": list(REASONS)}
    lossy = replace(spec, compression=replace(spec.compression, comparison=record))
    weights = load_network(opened).state_dict()
    write_checkpoint(folder / "w4", lossy, weights, grids)
    other = read_model(folder)
    path = convert(other, "onnx", "w4", tmp_path)  # by the identity that the record gives it
    converted.artifacts = {**artifacts, ("onnx", "w4"): path}
    done = export(other, data, tmp_path, formats=("onnx",), precisions=("fp32", "w4"))
    assert verdicts(done)["onnx", "w4"] == "rejected"
    (entry,) = read_manifest(done.root / "ios_assets").rejected
    assert entry.accuracy.source == "recorded"


def test_a_failed_artifact_is_not_asked_what_it_loses(
    converted: StandIn, demanding: None, model: Model, data: Path, tmp_path: Path
) -> None:
    converted.errors["onnx"] = "no"
    done = export(model, data, tmp_path, formats=("onnx",), precisions=("w3",))
    assert verdicts(done)["onnx", "w3"] == "fail"
    assert done.code == 1


# --- the plan ---------------------------------------------------------------------------------


def test_a_plan_has_every_precision_in_the_registers_order() -> None:
    assert plan(tuple(reversed(FORMATS))) == {
        name: tuple(FORMATS[name].precisions) for name in FORMATS
    }
    assert list(plan(tuple(reversed(FORMATS)))) == list(FORMATS)


def test_precisions_select_and_a_format_that_has_none_of_them_is_left_out() -> None:
    assert plan(tuple(FORMATS), ("w4", "fp16")) == {
        "onnx": ("fp16", "w4"),
        "torchscript": ("fp16", "w4"),
        "coreml": ("fp16", "w4"),
    }
    assert plan(tuple(FORMATS), ("int8",)) == dict.fromkeys(FORMATS, ("int8",))


def test_an_unknown_precision_is_bad_input_that_names_the_known() -> None:
    with pytest.raises(BadInput, match=r"no precision 'int4'; there are: fp32, fp16, int8, w4, w3"):
        plan(tuple(FORMATS), ("fp32", "int4"))
    with pytest.raises(BadInput, match=r"ort: no precision 'w3'; there are: fp32, int8"):
        plan(("ort",), ("w3",))


def test_precisions_with_a_variant_are_distinguished_from_those_without(partly: Model) -> None:
    wanted = {"onnx": ("fp32", "w4", "w3"), "ort": ("int8",)}
    possible, absent = split_by_variant(partly.checkpoint, wanted)
    assert possible == {"onnx": ("fp32", "w4")}
    assert [artifact[:2] for artifact in absent] == [("onnx", "w3"), ("ort", "int8")]


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
