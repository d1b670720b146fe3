"""What a published folder says is derived again: hashes renewed, and nothing gets through."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from export.cli.main import main
from export.formats.base import verbs_of
from export.golden.document import PACK_FILE
from export.golden.yardstick import pack_faults
from export.manifest.manifest import read_manifest, write_manifest
from export.parity.reference import References, build_references
from export.publish.assets import FOLDERS
from export.publish.build_manifest import file_entries
from export.publish.derived import entry_faults, folder_faults
from export.run.beside import refresh
from export.run.check_published import check_published
from pipeline.errors import BadInput
from tests.export.conftest import Model, tree
from tests.export.made_assets import age, edit_manifest

Json = dict[str, Any]
ANDROID, IOS, WEB = FOLDERS.values()
pytestmark = pytest.mark.usefixtures("checked_once")


@pytest.fixture(scope="module")
def references(model: Model, data: Path) -> References:
    return build_references(model.checkpoint, data, 1)


def renew(folder: Path) -> None:
    """Make the manifest list what lies there now, as a hand with a hash tool would."""
    manifest = read_manifest(folder)
    apart = {entry.path for entry in manifest.artifacts} | {"manifest.json", "manifest.json.sha256"}
    names = sorted(path.name for path in folder.iterdir() if path.name not in apart)
    files = sorted((f for name in names for f in file_entries(folder, name)), key=lambda f: f.path)
    write_manifest(folder, replace(manifest, files=tuple(files)))


def faults(folder: Path, references: References) -> Iterator[str]:
    """All faults of a folder, one after the other."""
    manifest = read_manifest(folder)
    platform = next(name for name, place in FOLDERS.items() if place == folder.name)
    for entry in manifest.artifacts:
        description = verbs_of(entry.format).describe(folder / entry.path)
        yield from entry_faults(entry, description, entry.checkpoint_sha256)
    yield from folder_faults(
        platform, folder, manifest, references.checkpoint, manifest.artifacts[:1]
    )
    yield from pack_faults(manifest, folder, references)


@pytest.mark.parametrize("place", FOLDERS.values())
def test_a_published_folder_is_what_would_be_published(
    place: str, assets: Path, references: References
) -> None:
    assert list(faults(assets / place, references)) == []


def model_says(**changes: object) -> Callable[[Json], None]:
    return lambda manifest: manifest["model"].update(changes)


def first_says(part: str, **changes: object) -> Callable[[Json], None]:
    return lambda manifest: manifest["artifacts"][0][part].update(changes)


MANIFESTS: dict[str, tuple[Callable[[Json], object], str]] = {
    "threshold": (model_says(threshold=0.123), "model.threshold is 0.123, not"),
    "positive label": (model_says(positive="non_covid19"), "model.positive is"),
    "architecture": (model_says(architecture="resnet18"), 'model.architecture is "resnet18"'),
    "intended use": (model_says(intended_use="Cleared for \x1b[1muse."), "Cleared for \\u001b[1m"),
    "metrics": (model_says(metrics={"auroc": 1.0}), "model.metrics.auroc is 1.0"),
    "version": (model_says(version="9.9.9"), 'model.version is "9.9.9"'),
    "older runtime": (first_says("requires", onnxruntime="1.8"), 'requires.onnxruntime is "1.8"'),
    "opset": (first_says("requires", opset=12), "requires.opset is 12, not 17"),
    "session": (first_says("session", threads=16), "session.threads is 16"),
    "tolerance": (
        lambda manifest: manifest["artifacts"][0]["parity"]["tolerance"].update(max_abs_diff=0.9),
        "parity.tolerance.max_abs_diff is 0.9",
    ),
    "images of the parity check": (first_says("parity", images=10_000), "parity.images is 10000"),
    "difference": (first_says("parity", max_abs_diff=0.0), "the largest of its sets"),
    "output": (
        lambda manifest: manifest["artifacts"][0]["outputs"][0].update(shape=[1, 7]),
        "onnx fp32.outputs is",
    ),
}


@pytest.mark.parametrize("fault", MANIFESTS)
def test_a_manifest_that_says_something_else_is_found(
    fault: str, assets: Path, references: References
) -> None:
    edit, reason = MANIFESTS[fault]
    edit_manifest(assets / WEB, edit)
    assert any(reason in found for found in faults(assets / WEB, references))


TEXTS = {
    "a constant of the resize in the page": (WEB, "modules/resize.js", "2", "3"),
    "a comparison in the page": (WEB, "modules/prediction.js", ">=", ">"),
    "a hash in Kotlin": (ANDROID, "src/core/kotlin/**/Model.kt", 'sha256 = "', 'sha256 = "0'),
    "a name in Gradle": (ANDROID, "build.gradle.kts", "tiny", "tinny"),
    "a constant in Swift": (IOS, "Sources/**/Resize.swift", "2", "3"),
    "the package of Swift": (IOS, "Package.swift", "tools-version", "tool-version"),
    "a README": (IOS, "README.md", "Research", "Clinical"),
    "labels with other line ends": (WEB, "labels.txt", "\n", "\r\n"),
    "an operator that is needed": (WEB, "required_operators.config", ",Softmax", ""),
    "a type that is needed": (
        WEB,
        "required_operators_and_types.config",
        'Softmax{"inputs": {"0": ["float"]',
        'Softmax{"inputs": {"0": ["double"]',
    ),
    "the text of the golden pack": (ANDROID, "golden/README.md", "pixel", "pixie"),
}


@pytest.mark.parametrize("fault", TEXTS)
def test_a_changed_generated_file_is_found(
    fault: str, assets: Path, references: References
) -> None:
    place, pattern, old, new = TEXTS[fault]
    path = next((assets / place).glob(pattern))
    text = path.read_bytes()
    path.write_bytes(text.replace(old.encode(), new.encode(), 1))
    assert path.read_bytes() != text
    renew(assets / place)
    found = next(faults(assets / place, references))
    assert path.relative_to(assets / place).as_posix() in found


def test_a_file_that_nothing_generates_and_one_that_is_missing_are_found(
    assets: Path, references: References
) -> None:
    (assets / ANDROID / "src" / "Extra.kt").write_text("object Extra\n")
    (assets / ANDROID / "golden" / "extra.json").write_text("{}\n")
    (assets / ANDROID / "consumer-rules.pro").unlink()
    renew(assets / ANDROID)
    found = "\n".join(faults(assets / ANDROID, references))
    assert "src/Extra.kt belongs to nothing that is published" in found
    assert "golden/extra.json belongs to no case" in found
    assert "consumer-rules.pro, which is published with such a model, is missing" in found


TURNED = ("upright_photo", "upside_down", "other_side", "mirrored")
PACKS: dict[str, tuple[Callable[[Json], object], str]] = {
    "wide tolerances": (
        lambda pack: pack["tolerances"].update(dict.fromkeys(pack["tolerances"], 0.9)),
        "tolerances.tiny_fp32.onnx is 0.9",
    ),
    "wide tolerances of pixels": (
        lambda pack: pack["cases"][0]["pixel_tolerance"].update(max_abs=255),
        "pixel_tolerance.max_abs is 255",
    ),
    "few cases": (lambda pack: pack.update(cases=pack["cases"][:2]), "is nothing, not"),
    "no rotated photographs": (
        lambda pack: pack.update(cases=[c for c in pack["cases"] if c["name"] not in TURNED]),
        "is nothing, not",
    ),
}


def edit_pack(folder: Path, edit: Callable[[Json], object]) -> None:
    path = folder / PACK_FILE
    pack = json.loads(path.read_text(encoding="utf-8"))
    edit(pack)
    path.write_text(json.dumps(pack), encoding="utf-8")
    renew(folder)


@pytest.mark.parametrize("fault", PACKS)
def test_a_pack_without_teeth_is_found(fault: str, assets: Path, references: References) -> None:
    edit, reason = PACKS[fault]
    edit_pack(assets / WEB, edit)
    assert any(reason in found for found in faults(assets / WEB, references))


def test_a_turned_file_in_place_of_one_that_asks_to_be_turned_is_found(
    assets: Path, references: References
) -> None:
    pack = json.loads((assets / WEB / PACK_FILE).read_text(encoding="utf-8"))
    turned = next(case for case in pack["cases"] if case["name"] in TURNED)
    tensor = (assets / WEB / turned["tensor"]).read_bytes()  # the same pixels come out of it
    (assets / WEB / turned["image"]).write_bytes(tensor)
    renew(assets / WEB)
    found = next(faults(assets / WEB, references))
    assert found == f"{turned['image']} is not the file that is drawn for this case"


def test_check_fails_the_artifacts_of_the_folder_and_says_why(
    assets: Path, model: Model, data: Path
) -> None:
    edit_manifest(assets / WEB, model_says(threshold=0.123))
    edit_manifest(assets / IOS, first_says("requires", opset=12))
    rows, _ = check_published(assets, model.folder, data, 1)
    failed = {(row.place, row.name) for row in rows if row.parity.status == "fail"}
    assert failed == {(row.place, row.name) for row in rows if row.place == "web"} | {
        ("ios", "onnx fp32")
    }
    (web,) = [row for row in rows if (row.place, row.name) == ("web", "onnx fp32")]
    assert web.parity.reason.startswith("model.threshold is 0.123, not")
    assert web.parity.parts["derived"] == web.parity.reason
    assert {row.parity.parts["derived"] for row in rows if row.place == "android"} == {"pass"}


ANSWERS: dict[str, tuple[Callable[[Json], object], str]] = {
    "wide tolerances": (PACKS["wide tolerances"][0], "tiny_fp16.onnx is 0.9, not 0.0001"),
    "another answer": (
        lambda pack: pack["cases"][3]["probs"].update({"tiny_fp32.onnx": [0.5, 0.5]}),
        "golden pack: max |Δp|",
    ),
    "no answer": (
        lambda pack: pack["cases"][3]["probs"].pop("tiny_fp32.onnx"),
        "needs one probability per label for tiny_fp32.onnx",
    ),
}


@pytest.mark.parametrize("fault", ANSWERS)
def test_check_does_not_pass_a_file_that_is_held_to_a_wrong_pack(
    fault: str, assets: Path, model: Model, data: Path
) -> None:
    edit, reason = ANSWERS[fault]
    edit_pack(assets / WEB, edit)
    rows, _ = check_published(assets, model.folder, data, 1)
    (row,) = [row for row in rows if (row.place, row.name) == ("web", "onnx fp32")]
    assert row.parity.status == "fail"
    assert reason in row.parity.reason
    assert {other.parity.status for other in rows if other.place != "web"} == {"pass"}


def test_check_fails_a_folder_with_a_changed_generated_file(
    assets: Path, model: Model, data: Path
) -> None:
    path = assets / WEB / "modules" / "resize.js"
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    renew(assets / WEB)
    rows, _ = check_published(assets, model.folder, data, 1)
    reasons = {row.parity.reason for row in rows if row.place == "web"}
    assert all(
        reason.startswith("modules/resize.js is not what is generated") for reason in reasons
    )


# --- what is no fault ---------------------------------------------------------------------------


def test_a_golden_file_that_another_pillow_has_written_is_the_same(
    assets: Path, references: References
) -> None:
    path = assets / WEB / "golden" / "images" / "grey.png"
    with Image.open(path) as image:
        image.load()
    before = path.read_bytes()
    image.save(path, compress_level=1)
    assert path.read_bytes() != before
    renew(assets / WEB)
    assert list(faults(assets / WEB, references)) == []


def test_operators_of_another_version_of_the_runtime_are_not_compared(
    assets: Path, references: References
) -> None:
    path = assets / WEB / "required_operators.config"
    path.write_text(path.read_text().replace(",Softmax", ""))
    edit_manifest(assets / WEB, lambda manifest: manifest["tools"].update(onnxruntime="0.1"))
    renew(assets / WEB)
    assert not any("required_operators" in found for found in faults(assets / WEB, references))


def test_more_operators_than_are_needed_here_are_no_fault(
    assets: Path, references: References
) -> None:
    path = assets / WEB / "required_operators.config"
    path.write_text(path.read_text().replace(",Softmax", ",Shrink,Softmax"))
    renew(assets / WEB)
    assert list(faults(assets / WEB, references)) == []


# --- one rule with verify, and a way out ----------------------------------------------------------


def listed_twice(folder: Path) -> None:
    edit_manifest(folder, lambda m: m["artifacts"].append(dict(m["artifacts"][0])))


def without_a_sum(folder: Path) -> None:
    (folder / "manifest.json.sha256").unlink()


def behind_a_link(folder: Path) -> None:
    path = folder / "tiny_fp32.onnx"
    path.rename(folder.parent / "elsewhere.onnx")
    path.symlink_to(folder.parent / "elsewhere.onnx")


@pytest.mark.parametrize("damage", [listed_twice, without_a_sum, behind_a_link])
def test_what_verify_refuses_check_does_not_pass(
    damage: Callable[[Path], None], assets: Path, model: Model, data: Path
) -> None:
    damage(assets / WEB)
    assert main(["verify", str(assets / WEB)]) != 0
    rows, _ = check_published(assets, model.folder, data, 1)
    assert "fail" in {row.parity.status for row in rows if row.place == "web"}
    assert {row.parity.status for row in rows if row.place != "web"} == {"pass"}


def test_refresh_writes_the_same_again_and_mends_what_was_changed(
    assets: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(assets)
    assert main(["refresh", "--assets", str(assets), "--checkpoint", str(model.folder)]) == 0
    assert tree(assets) == before
    assert capsys.readouterr().out.split() == [str(assets / place) for place in FOLDERS.values()]
    (assets / WEB / "README.md").write_text("something else\n")
    (assets / WEB / "stray.txt").write_text("x")
    edit_manifest(assets / WEB, model_says(threshold=0.123))
    for fault in ("older runtime", "session", "tolerance", "output"):
        edit_manifest(assets / WEB, MANIFESTS[fault][0])
    refresh(assets, model.folder)
    assert tree(assets) == before


def test_refresh_refuses_what_it_would_only_make_look_right(
    assets: Path, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="none of android_assets"):
        refresh(tmp_path / "nowhere", model.folder)
    before = tree(assets)
    path = assets / ANDROID / "tiny_fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match="only whole files are published again"):
        refresh(assets, model.folder)
    path.write_bytes(before["android_assets/tiny_fp32.onnx"])
    edit_manifest(assets / WEB, lambda m: m["artifacts"][1].update(checkpoint_sha256="0" * 64))
    with pytest.raises(BadInput, match=r"tiny_fp16.onnx is of another fp16 than"):
        refresh(assets, model.folder)
    edit_manifest(assets / WEB, model_says(checkpoint_sha256="0" * 64))
    with pytest.raises(BadInput, match="of another checkpoint"):
        refresh(assets, model.folder)
    age(assets / IOS, 2)
    edit_manifest(assets / WEB, model_says(checkpoint_sha256=model.identity))
    with pytest.raises(BadInput, match="of an earlier release"):
        refresh(assets, model.folder)
