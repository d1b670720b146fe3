from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from torch import Tensor
from torch.nn import Module

from export.cli.main import main
from export.deploy.batch_norm_folding import folded_network
from export.deploy.graph import DeployGraph, Outputs, PixelGraph
from export.formats.base import verbs_of
from export.formats.facts import Requirement
from export.formats.register import FORMATS
from export.parity.check import ParityResult
from export.parity.quality_gate import GateResult, judge_quality
from export.parity.reference import build_references
from export.publish.assets import FOLDERS
from export.publish.build_manifest import file_entries
from export.report.document import VerdictRow, exit_code
from export.run.beside import refresh
from export.run.check_published import check_published
from pipeline.errors import BadInput
from tests.conftest import make_spec
from tests.export.conftest import (
    ARTIFACTS,
    Exported,
    Model,
    read_model,
    tree,
    write_sensitive_network,
    write_variants,
)
from tests.export.made_assets import age, edit_manifest

ANDROID, IOS = FOLDERS["android"], FOLDERS["ios"]
PACKAGE = f"{IOS}/tiny_fp32.mlpackage"
PACKAGE_W4 = f"{IOS}/tiny_w4.mlpackage"
CLEAN = {
    (platform, f"{name} {precision}"): "pass"
    for platform in FOLDERS
    for name, precision in ARTIFACTS
    if platform in FORMATS[name].platforms
}
FILES = {  # of every format, and of every kind in a package
    f"{ANDROID}/tiny_int8.onnx": ("android", "onnx int8"),
    f"{ANDROID}/tiny_fp32.ort": ("android", "ort fp32"),
    f"{ANDROID}/tiny_w4.ptl": ("android", "torchscript w4"),
    f"{PACKAGE}/Manifest.json": ("ios", "coreml fp32"),
    f"{PACKAGE}/Data/com.apple.CoreML/model.mlmodel": ("ios", "coreml fp32"),
    f"{PACKAGE}/Data/com.apple.CoreML/weights/weight.bin": ("ios", "coreml fp32"),
    f"{PACKAGE_W4}/Data/com.apple.CoreML/weights/weight.bin": ("ios", "coreml w4"),
}


pytestmark = pytest.mark.usefixtures("checked_once")


def checked(assets: Path, model: Model, data: Path) -> dict[tuple[str, str], VerdictRow]:
    rows, _ = check_published(assets, model.folder, data, 100)
    return {(row.place, row.name): row for row in rows}


def statuses(rows: dict[tuple[str, str], VerdictRow]) -> dict[tuple[str, str], str]:
    return {key: row.parity.status for key, row in rows.items()}


def assert_one_fails(
    rows: dict[tuple[str, str], VerdictRow], key: tuple[str, str], reason: str
) -> None:
    assert statuses(rows) == {**CLEAN, key: "fail"}
    assert reason in rows[key].parity.reason
    assert exit_code(list(rows.values()), strict=False) == 1


def assert_forgery_fails(
    rows: dict[tuple[str, str], VerdictRow], key: tuple[str, str], reason: str
) -> None:
    """Of a file with a renewed hash; the code beside it names the old one, which is a fault too."""
    assert reason in rows[key].parity.reason
    for place, row in rows.items():
        if place != key and row.parity.status != "pass":
            assert place[0] == key[0]
            assert "is not what is generated" in row.parity.reason
    assert exit_code(list(rows.values()), strict=False) == 1


def assert_platform_fails(
    rows: dict[tuple[str, str], VerdictRow], platform: str, reason: str
) -> None:
    expected = {k: "fail" if k[0] == platform else status for k, status in CLEAN.items()}
    assert statuses(rows) == expected
    assert all(reason in row.parity.reason for k, row in rows.items() if k[0] == platform)


def change_one_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.write_bytes(content)


def test_networks_are_traced_by_no_other_thread(
    assets: Path, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While torch.fx traces one, no other thread may run one."""
    threads = []

    def noted(network: Module) -> Module:
        threads.append(threading.current_thread())
        return folded_network(network)

    monkeypatch.setattr("export.deploy.layer_order.folded_network", noted)
    monkeypatch.setattr("export.parity.reference.build_references", build_references)
    check_published(assets, model.folder, data, 2)
    assert set(threads) == {threading.main_thread()}


def test_a_file_that_lies_in_several_folders_is_compared_once_and_stands_in_every_row(
    assets: Path, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def noted(name: str, precision: str, *rest: Any) -> ParityResult:
        compared.append((name, precision))
        return ParityResult("pass", images=len(compared))

    monkeypatch.setattr("export.run.check_published.check_artifact", noted)
    monkeypatch.setattr("export.run.check_published.judge_quality", lambda *_: None)
    rows, _ = check_published(assets, model.folder, data, 2)
    assert sorted(compared) == sorted(ARTIFACTS)
    assert len(rows) > len(compared)
    assert {(row.format, row.precision): row.parity.images for row in rows} == {
        key: i for i, key in enumerate(compared, start=1)
    }


def test_clean_assets_have_a_row_for_each_artifact_and_nothing_fails(
    assets: Path, model: Model, data: Path
) -> None:
    rows, images = check_published(assets, model.folder, data, 100)
    assert {(row.place, row.name): row.parity.status for row in rows} == CLEAN
    assert len(rows) == len(CLEAN)
    assert exit_code(rows, strict=False) == 0
    assert images == "6 validation images of xrays, 17 golden and 13 hard images"


def test_a_check_writes_nothing(assets: Path, model: Model, data: Path) -> None:
    before = tree(assets)
    checked(assets, model, data)
    assert tree(assets) == before


@pytest.mark.parametrize("file", FILES)
def test_one_changed_byte_in_a_file_fails_its_artifact(
    file: str, assets: Path, model: Model, data: Path
) -> None:
    change_one_byte(assets / file)
    rows = checked(assets, model, data)
    assert_one_fails(rows, FILES[file], "has changed: its SHA-256 is not the manifest's")
    assert file.split("/", 1)[1] in rows[FILES[file]].parity.reason


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_fails_its_artifact(
    file: str, assets: Path, model: Model, data: Path
) -> None:
    (assets / file).unlink()
    assert_one_fails(checked(assets, model, data), FILES[file], "is missing")


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_fails_its_artifact_by_its_size(
    file: str, assets: Path, model: Model, data: Path
) -> None:
    content = (assets / file).read_bytes()
    (assets / file).write_bytes(content[:-1])
    reason = f"has {len(content) - 1} bytes, not {len(content)}"
    assert_one_fails(checked(assets, model, data), FILES[file], reason)


def test_a_missing_package_fails(assets: Path, model: Model, data: Path) -> None:
    shutil.rmtree(assets / PACKAGE)
    assert_one_fails(checked(assets, model, data), ("ios", "coreml fp32"), "is missing")


def test_an_extra_file_in_a_package_fails_it(assets: Path, model: Model, data: Path) -> None:
    (assets / PACKAGE / "Data" / "extra.bin").write_bytes(b"x")
    rows = checked(assets, model, data)
    assert_one_fails(rows, ("ios", "coreml fp32"), "Data/extra.bin is not in the manifest")


def test_an_extra_file_in_a_folder_fails_the_platform(
    assets: Path, model: Model, data: Path
) -> None:
    (assets / ANDROID / "old_model.onnx").write_bytes(b"x")
    rows = checked(assets, model, data)
    assert_platform_fails(rows, "android", "old_model.onnx is not in the manifest")


def test_an_extra_folder_and_an_extra_hidden_one_are_distinguished(
    assets: Path, model: Model, data: Path
) -> None:
    (assets / ANDROID / ".gradle").mkdir()
    (assets / ANDROID / ".gradle" / "cache").touch()
    (assets / ANDROID / "build").mkdir()
    (assets / ANDROID / "build" / "app.aar").touch()
    assert statuses(checked(assets, model, data)) == CLEAN
    (assets / ANDROID / "old").mkdir()
    rows = checked(assets, model, data)
    assert_platform_fails(rows, "android", "old is not in the manifest")


def test_a_changed_file_next_to_the_artifacts_fails_the_platform(
    assets: Path, model: Model, data: Path
) -> None:
    change_one_byte(assets / IOS / "README.md")
    assert_platform_fails(checked(assets, model, data), "ios", "README.md has changed")
    (assets / IOS / "README.md").unlink()
    assert_platform_fails(checked(assets, model, data), "ios", "README.md is missing")


def test_assets_of_schema_2_are_checked_as_far_as_their_manifest_goes(
    assets: Path, model: Model, data: Path
) -> None:
    for folder in (ANDROID, IOS):
        age(assets / folder, 2)
    change_one_byte(assets / IOS / "README.md")  # no manifest of that schema lists it
    assert statuses(checked(assets, model, data)) == CLEAN
    (assets / ANDROID / "old_model.onnx").touch()
    assert_platform_fails(
        checked(assets, model, data), "android", "old_model.onnx is not in the manifest"
    )


@pytest.mark.parametrize("labels", ["non_covid19\ncovid19\n", "covid19\n", "a\nb\n", ""])
def test_changed_labels_fail_the_platform(
    labels: str, assets: Path, model: Model, data: Path
) -> None:
    (assets / IOS / "labels.txt").write_text(labels)
    assert_platform_fails(checked(assets, model, data), "ios", "labels.txt")


def test_labels_that_are_no_text_fail_the_platform(assets: Path, model: Model, data: Path) -> None:
    (assets / IOS / "labels.txt").write_bytes(b"covid19\nnon_c\xffvid19\n")
    assert_platform_fails(checked(assets, model, data), "ios", "labels.txt")


def test_missing_labels_fail_the_platform(assets: Path, model: Model, data: Path) -> None:
    (assets / ANDROID / "labels.txt").unlink()
    assert_platform_fails(checked(assets, model, data), "android", "labels.txt is missing")


def test_swapped_labels_in_a_manifest_fail_the_platform(
    assets: Path, model: Model, data: Path
) -> None:
    edit_manifest(assets / ANDROID, lambda document: document["model"]["labels"].reverse())
    assert_platform_fails(checked(assets, model, data), "android", "other labels")


def test_a_manifest_of_another_checkpoint_fails_the_platform(
    assets: Path, model: Model, data: Path
) -> None:
    def other(document: dict[str, Any]) -> None:
        document["model"]["checkpoint_sha256"] = "0" * 64

    edit_manifest(assets / ANDROID, other)
    rows = checked(assets, model, data)
    assert_platform_fails(rows, "android", "made from another checkpoint")


def test_assets_of_another_checkpoint_fail_everywhere(
    assets: Path, data: Path, tmp_path: Path
) -> None:
    """Trained again, not exported again: what CI must find."""
    other = write_sensitive_network(tmp_path / "other", make_spec(version="2.0.0"), seed=1)
    rows, _ = check_published(assets, other, data, 100)
    assert {row.parity.status for row in rows} == {"fail"}
    assert "export again" in rows[0].parity.reason


def renew_hash(folder: Path, name: str) -> None:
    """Make the manifest match the files there now."""
    entries = [vars(entry) for entry in file_entries(folder, name)]

    def renew(document: dict[str, Any]) -> None:
        (artifact,) = [a for a in document["artifacts"] if a["path"] == name]
        artifact["size_bytes"] = sum(entry["size_bytes"] for entry in entries)
        artifact["files"] = entries

    edit_manifest(folder, renew)


def test_a_file_swapped_together_with_its_hash_still_fails_by_its_content(
    assets: Path, model: Model, data: Path, tmp_path: Path
) -> None:
    """Hashes prove nothing to someone who writes the manifest as well; parity does."""
    other = read_model(write_sensitive_network(tmp_path / "other", make_spec(), seed=1))
    path = assets / ANDROID / "tiny_fp32.onnx"
    verbs_of("onnx").convert(other.graph, model.spec, model.metadata, "fp32", path)
    renew_hash(assets / ANDROID, path.name)
    assert_forgery_fails(checked(assets, model, data), ("android", "onnx fp32"), "max |Δp|")


# --- compressed artifacts -----------------------------------------------------------------------


def test_a_compressed_artifact_is_checked_against_its_own_variant(
    assets: Path, model: Model, data: Path
) -> None:
    rows = checked(assets, model, data)
    few_bits = [row for (_, name), row in rows.items() if name in ("onnx w4", "torchscript w3")]
    assert len(few_bits) == 4  # ONNX w4 in all three folders
    for row in few_bits:
        variant = model.references.of(row.precision)
        assert row.parity.max_abs_diff <= 1e-4 < np.abs(variant.probs - model.reference).max()
        assert row.gate_result.source == "recorded"


def test_without_its_variant_an_artifact_is_not_run_and_says_what_makes_it(
    assets: Path, model: Model, data: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model.folder, tmp_path / "tiny"))
    shutil.rmtree(folder / "w4")
    rows, _ = check_published(assets, folder, data, 100)
    found = {(row.place, row.name): row.parity for row in rows}
    expected = {k: "not_run" if k[1].endswith(" w4") else "pass" for k in CLEAN}
    assert {key: parity.status for key, parity in found.items()} == expected
    for key, parity in found.items():
        if key[1].endswith(" w4"):
            compress = f"python -m pipeline compress {folder} --data {data} --precisions w4"
            assert f"`{compress}` does it" in parity.reason
    assert (exit_code(rows, strict=False), exit_code(rows, strict=True)) == (0, 1)


def test_a_damaged_file_fails_also_where_its_variant_is_missing(
    assets: Path, model: Model, data: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model.folder, tmp_path / "tiny"))
    shutil.rmtree(folder / "w3")
    change_one_byte(assets / ANDROID / "tiny_w3.onnx")
    rows, _ = check_published(assets, folder, data, 100)
    found = {(row.place, row.name): row.parity.status for row in rows}
    assert (found["android", "onnx w3"], found["ios", "onnx w3"]) == ("fail", "not_run")


def test_a_checkpoint_compressed_again_makes_the_published_files_stale(
    assets: Path, model: Model, data: Path, tmp_path: Path
) -> None:
    """The checkpoint is the same, so only the file itself shows it."""
    folder = Path(shutil.copytree(model.folder, tmp_path / "tiny"))
    shutil.rmtree(folder / "w3")
    write_variants(folder, w3=2)
    rows, _ = check_published(assets, folder, data, 100)
    found = {(row.place, row.name): row.parity for row in rows}
    expected = {k: "fail" if k[1].endswith(" w3") else "pass" for k in CLEAN}
    assert {key: parity.status for key, parity in found.items()} == expected
    assert "checkpoint_sha256 in the file" in found["ios", "onnx w3"].reason


def test_the_file_of_another_variant_under_a_renewed_hash_fails(
    assets: Path, model: Model, data: Path
) -> None:
    shutil.copy(assets / ANDROID / "tiny_w3.onnx", assets / ANDROID / "tiny_w4.onnx")
    renew_hash(assets / ANDROID, "tiny_w4.onnx")
    rows = checked(assets, model, data)
    assert_forgery_fails(rows, ("android", "onnx w4"), "checkpoint_sha256 in the file")


def test_a_variant_of_another_checkpoint_is_bad_input(
    assets: Path, model: Model, data: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model.folder, tmp_path / "tiny"))
    other = write_sensitive_network(tmp_path / "other", make_spec(), seed=1)
    write_variants(other, w4=7)
    shutil.rmtree(folder / "w4")
    shutil.copytree(other / "w4", folder / "w4")
    with pytest.raises(BadInput, match="compressed from another checkpoint"):
        check_published(assets, folder, data, 100)


def test_a_published_artifact_that_loses_too_much_on_given_data_fails(
    assets: Path,
    model: Model,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was fit on the images of its export; on these it is not."""
    said = "recall drops by 0.3000, more than 0.025"

    def judged(precision: str, *arguments: object) -> GateResult | None:
        found = judge_quality(precision, *arguments)
        return replace(found, broken=(said,)) if precision == "int8" else found

    monkeypatch.setattr("export.run.check_published.judge_quality", judged)
    rows = checked(assets, model, data)
    expected = {k: "fail" if k[1].endswith(" int8") else "pass" for k in CLEAN}
    assert statuses(rows) == expected
    failed = [row for row in rows.values() if row.precision == "int8"]
    assert {row.reason for row in failed} == {said}
    assert {row.verdict for row in failed} == {"fail"}
    assert exit_code(list(rows.values()), strict=False) == 1


def test_what_was_accepted_when_it_was_published_is_accepted_again(
    assets: Path, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "recall drops by 0.3000, more than 0.025"

    def judged(precision: str, *arguments: object) -> GateResult | None:
        found = judge_quality(precision, *arguments)
        return replace(found, broken=(said,)) if precision == "w4" else found

    def accept(manifest: dict[str, Any]) -> None:
        for artifact in manifest["artifacts"]:
            if artifact["precision"] == "w4":
                artifact["accuracy"]["accepted"] = True

    for folder in (ANDROID, IOS):
        edit_manifest(assets / folder, accept)
    refresh(assets, model.folder)  # its README says so
    monkeypatch.setattr("export.run.check_published.judge_quality", judged)
    rows = checked(assets, model, data)
    for row in rows.values():
        if row.precision == "w4":
            is_web = row.place == "web"
            assert row.verdict == ("fail" if is_web else "accepted")
            assert row.reason == said


def test_an_artifact_unknown_to_this_version_is_bad_input(
    assets: Path, model: Model, data: Path
) -> None:
    edit_manifest(assets / IOS, lambda d: d["artifacts"][0].update(precision="int4"))
    with pytest.raises(BadInput, match="onnx int4, unknown to this version"):
        checked(assets, model, data)


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_a_missing_folder_is_bad_input(folder: str, assets: Path, model: Model, data: Path) -> None:
    shutil.rmtree(assets / folder)
    with pytest.raises(BadInput, match="no assets at"):
        checked(assets, model, data)


# --- the command ------------------------------------------------------------------------------


def run_check(assets: Path, model: Model, data: Path, *more: str) -> int:
    options = ["--assets", str(assets), "--checkpoint", str(model.folder), "--data", str(data)]
    return main(["check", *options, *more])


def test_the_command_exits_0_when_nothing_failed(
    exported: Exported, model: Model, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_check(exported.root, model, data) == 0
    count = len(CLEAN)
    said = f"{count} passed, 0 failed, 0 not run of {count} artifacts"
    assert said in capsys.readouterr().out


def test_the_command_exits_1_when_something_failed(
    assets: Path, model: Model, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change_one_byte(assets / ANDROID / "tiny_fp32.ptl")
    assert run_check(assets, model, data) == 1
    assert "1 failed" in capsys.readouterr().out


def test_strict_exits_1_where_something_could_not_be_run(
    exported: Exported, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_check(exported.root, model, data, "--strict") == 0
    missing = (Requirement("coreml_of_another_world", "coreml"),)
    monkeypatch.setitem(FORMATS, "coreml", replace(FORMATS["coreml"], requirements=missing))
    assert run_check(exported.root, model, data) == 0
    assert run_check(exported.root, model, data, "--strict") == 1


def test_the_command_exits_2_on_a_damaged_manifest(
    assets: Path, model: Model, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (assets / ANDROID / "manifest.json").write_text("{")
    report = tmp_path / "report.json"
    assert run_check(assets, model, data, "--json", str(report)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not report.exists()


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_json_and_junit_agree_with_the_exit_code(
    assets: Path, model: Model, data: Path, tmp_path: Path
) -> None:
    change_one_byte(assets / ANDROID / "tiny_fp32.ort")
    as_json, as_junit = tmp_path / "out" / "check.json", tmp_path / "out" / "check.xml"
    code = run_check(assets, model, data, "--json", str(as_json), "--junit", str(as_junit))
    assert code == 1

    text = as_json.read_text(encoding="utf-8")
    document = json.loads(text, parse_constant=no_constant)
    assert text == json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert document["failed"] is True
    found = {(a["place"], f"{a['format']} {a['precision']}"): a for a in document["artifacts"]}
    assert {k: a["parity"]["status"] for k, a in found.items()} == {
        **CLEAN,
        ("android", "ort fp32"): "fail",
    }

    suite = ElementTree.fromstring(as_junit.read_text(encoding="utf-8"))
    cases = suite.findall("testcase")
    assert int(suite.get("tests")) == len(cases) == len(CLEAN)
    assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) == 1
    skipped = list(CLEAN.values()).count("not_run")
    assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped")) == skipped
    (failed,) = [case for case in cases if case.find("failure") is not None]
    assert (failed.get("classname"), failed.get("name")) == ("android", "ort fp32")
    assert "SHA-256" in failed.find("failure").get("message")


# --- files of before there was evidence ---------------------------------------------------------


class ProbsOnly(PixelGraph):
    def forward(self, pixels: Tensor) -> Outputs:
        probs, _ = super().forward(pixels)
        return probs


def publish_without_evidence(assets: Path, model: Model, name: str) -> None:
    """Replace the fp32 file by one with a single output, and list its hash in the manifest."""
    folder = assets / FOLDERS[FORMATS[name].platforms[0]]
    path = folder / f"tiny_fp32{FORMATS[name].suffix}"
    if path.is_dir():
        shutil.rmtree(path)
    graph = DeployGraph(model.graph.pixels.network, model.spec)
    graph.pixels = ProbsOnly(model.graph.pixels.network, model.spec)
    verbs_of(name).convert(graph.eval(), model.spec, model.metadata, "fp32", path)

    def list_again(document: dict[str, Any]) -> None:
        (entry,) = [a for a in document["artifacts"] if a["path"] == path.name]
        files = [vars(file) for file in file_entries(folder, path.name)]
        entry.update(files=files, size_bytes=sum(file["size_bytes"] for file in files))

    edit_manifest(folder, list_again)


def declare_probs_alone(document: dict[str, Any]) -> None:
    """Manifests of that time."""
    for artifact in document["artifacts"]:
        if artifact["precision"] == "fp32":
            artifact["outputs"] = artifact["outputs"][:1]
            del artifact["parity"]["evidence"]


@pytest.mark.slow("converts every format again")
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_held_to_the_outputs_that_its_manifest_declares(
    name: str, assets: Path, model: Model, data: Path
) -> None:
    place = FORMATS[name].platforms[0]
    key = (place, f"{name} fp32")
    publish_without_evidence(assets, model, name)
    rows = checked(assets, model, data)
    assert_forgery_fails(rows, key, "outputs ['probs'], expected probs and evidence")
    age(assets / FOLDERS[place], 2)
    edit_manifest(assets / FOLDERS[place], declare_probs_alone)
    rows = checked(assets, model, data)
    assert statuses(rows) == CLEAN
    assert rows[key].parity.evidence is None
    assert "evidence" not in rows[key].parity.parts


def test_what_a_file_gives_is_compared_even_if_its_manifest_does_not_declare_it(
    assets: Path, model: Model, data: Path
) -> None:
    for folder in (ANDROID, IOS):
        age(assets / folder, 2)
        edit_manifest(assets / folder, declare_probs_alone)
    rows = checked(assets, model, data)
    assert statuses(rows) == CLEAN
    assert all(row.parity.evidence is not None for row in rows.values())
