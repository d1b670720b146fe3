from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from export.cli.main import main
from export.errors import CannotRunHere
from export.formats.register import FORMATS
from export.golden.document import PACK_FILE
from export.golden.pack import read_pack
from export.golden.replay import replay, replay_pixels
from export.publish.assets import FOLDERS
from export.publish.build_manifest import file_entries
from export.run.check_published import check_published
from pipeline.errors import BadInput
from tests.export.conftest import Exported, Model
from tests.export.made_assets import edit_manifest

pytestmark = pytest.mark.slow("exports every format first")

ANDROID, IOS = FOLDERS["android"], FOLDERS["ios"]


def statuses(folder: Path) -> dict[str, str]:
    return {result.path: result.status for result in replay(folder).answers}


@pytest.mark.parametrize("platform", FOLDERS)
def test_every_published_artifact_passes(platform: str, exported: Exported) -> None:
    found = replay(exported.root / FOLDERS[platform])
    assert {result.status for result in found.pixels} == {"pass"}
    assert {result.status for result in found.answers} == {"pass"}
    wanted = sum(len(f.precisions) for f in FORMATS.values() if platform in f.platforms)
    assert len(found.answers) == wanted
    assert not found.failed
    assert not found.not_run


def test_another_models_file_fails_and_it_alone(assets: Path) -> None:
    folder = assets / ANDROID
    shutil.copy(folder / "tiny_w3.onnx", folder / "tiny_fp32.onnx")
    wrong = {path for path, status in statuses(folder).items() if status == "fail"}
    assert wrong == {"tiny_fp32.onnx"}


def test_a_file_that_cannot_be_read_fails(assets: Path) -> None:
    folder = assets / ANDROID
    (folder / "tiny_fp32.onnx").write_bytes(b"no graph")
    found = {result.path: result for result in replay(folder).answers}
    assert found["tiny_fp32.onnx"].status == "fail"
    assert "cannot load" in found["tiny_fp32.onnx"].reason


def test_without_its_runtime_a_file_is_not_run_with_the_reason(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(path: Path, threads: int) -> None:
        raise CannotRunHere("no lite interpreter")

    monkeypatch.setattr("export.formats.torchscript.format.load", nowhere)
    found = replay(exported.root / ANDROID)
    reasons = {result.reason for result in found.answers if result.path.endswith(".ptl")}
    assert reasons == {"no lite interpreter"}
    assert found.not_run
    assert not found.failed


def test_an_image_that_is_not_read_by_the_rule_fails(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.images import read_image

    monkeypatch.setattr(
        "export.golden.replay.read_image", lambda path, side: read_image(path, side)[:, :, ::-1]
    )
    pack = read_pack(exported.root / IOS)
    found = {case.name: replay_pixels(case, pack.rule) for case in pack.cases}
    assert found["odd_size"].status == "fail"
    assert "allowed are 0 and 0.0" in found["odd_size"].reason
    assert found["grey"].status == "pass"  # grey is the same in any order


def test_an_image_that_is_missing_fails(assets: Path) -> None:
    folder = assets / IOS
    pack = read_pack(folder)
    (folder / "golden/images/tiny.png").unlink()
    found = replay_pixels(pack.case("tiny"), pack.rule)
    assert found.status == "fail"
    assert "tiny.png" in found.reason


def test_the_tolerance_is_the_cases_own(exported: Exported) -> None:
    case = read_pack(exported.root / IOS).case("grey_jpeg")
    pixels = case.pixels.copy()
    pixels[0, 0] += 3
    assert replay_pixels(replace(case, pixels=pixels), len(pixels)).status == "pass"
    pixels[0, 0] += 5
    assert replay_pixels(replace(case, pixels=pixels), len(pixels)).status == "fail"


def test_a_pack_of_another_model_than_the_manifest_is_refused(assets: Path) -> None:
    edit_manifest(assets / IOS, lambda m: m["model"].update(version="9.9.9"))
    with pytest.raises(BadInput, match=r"is of version 1\.2\.3, manifest\.json of 9\.9\.9"):
        replay(assets / IOS)


def test_an_artifact_that_the_pack_leaves_out_fails(assets: Path) -> None:
    folder = assets / IOS
    document = json.loads((folder / PACK_FILE).read_text())
    document["tolerances"].pop("tiny_w4.onnx")
    for case in document["cases"]:
        case["probs"].pop("tiny_w4.onnx")
    (folder / PACK_FILE).write_text(json.dumps(document))
    assert [path for path, s in statuses(folder).items() if s == "fail"] == ["tiny_w4.onnx"]


# --- the command ------------------------------------------------------------------------------


def test_the_command_shows_all_and_exits_0(
    exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "golden.json"
    assert main(["golden", str(exported.root / ANDROID), "--json", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())  # lines are as wide as the terminal
    assert "17 of 17 images become their tensor" in printed
    assert "0 failed, 0 not run" in printed
    document = json.loads(out.read_text())
    assert document["failed"] is False
    assert {image["status"] for image in document["images"]} == {"pass"}


def test_the_command_exits_1_where_a_file_gives_wrong_outputs(assets: Path) -> None:
    folder = assets / ANDROID
    shutil.copy(folder / "tiny_w3.onnx", folder / "tiny_fp32.onnx")
    assert main(["golden", str(folder)]) == 1


def test_not_run_is_no_failure_unless_strict(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(path: Path, threads: int) -> None:
        raise CannotRunHere("no lite interpreter")

    monkeypatch.setattr("export.formats.torchscript.format.load", nowhere)
    assert main(["golden", str(exported.root / ANDROID)]) == 0
    assert main(["golden", str(exported.root / ANDROID), "--strict"]) == 1


def test_a_folder_without_assets_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["golden", str(tmp_path)]) == 2
    assert "no assets at" in capsys.readouterr().err


# --- the pack as a part of `export check` -----------------------------------------------------


def golden_parts(assets: Path, model: Model, data: Path) -> dict[str, tuple[str, str]]:
    rows, _ = check_published(assets, model.folder, data, 100)
    return {
        f"{row.place}/{row.name}": (row.parity.status, row.parity.parts.get("golden", ""))
        for row in rows
    }


def edit_pack(folder: Path, name: str, path: str) -> None:
    """Swap the probabilities of one case and artifact; its hash in the manifest follows."""
    document = json.loads((folder / PACK_FILE).read_text())
    case = next(case for case in document["cases"] if case["name"] == name)
    case["probs"][path] = case["probs"][path][::-1]
    (folder / PACK_FILE).write_text(json.dumps(document))
    (entry,) = file_entries(folder, PACK_FILE)

    def follow(manifest: dict) -> None:
        for file in manifest["files"]:
            if file["path"] == PACK_FILE:
                file.update(size_bytes=entry.size_bytes, sha256=entry.sha256)

    edit_manifest(folder, follow)


@pytest.mark.ci("runs every file of an export twice")
def test_check_compares_the_outputs_of_every_file_with_the_pack(
    assets: Path, model: Model, data: Path
) -> None:
    assert set(golden_parts(assets, model, data).values()) == {("pass", "pass")}
    edit_pack(assets / ANDROID, "odd_size", "tiny_w4.ptl")
    found = golden_parts(assets, model, data)
    wrong = {name: said for name, said in found.items() if said != ("pass", "pass")}
    assert wrong.keys() == {"android/torchscript w4"}
    status, fault = wrong["android/torchscript w4"]
    assert status == "fail"
    assert "on odd_size" in fault
