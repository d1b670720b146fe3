from __future__ import annotations

import errno
import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from export.formats.base import verbs_of
from export.formats.description import FileEntry
from export.formats.register import FORMATS
from export.manifest.manifest import Manifest, read_manifest
from export.packages.folder_readme import asset_readme
from export.parity.check import Agreement, ParityResult
from export.parity.quality_gate import GateResult
from export.publish.assets import FOLDERS, LABELS_FILE, publish
from export.publish.build_manifest import Published
from pipeline.errors import BadInput
from tests.conftest import LABELS
from tests.export.conftest import ARTIFACTS, RECORD, Artifacts, Exported, Model, tree

PASSED = ParityResult(
    "pass", "", 13, 1e-7, 1e-8, 0, 0, "hard/red", {"hard": Agreement(13, 1e-7, 1e-8, 0)}
)


PLACEHOLDER = re.compile(r"\{\w*\}")
FIGURES = {key: value for key, value in RECORD.items() if key != "broken_limits"}
LOST = {**FIGURES, "auroc_drop": {"value": 0.1, "low": 0.05, "high": 0.15}}
BROKEN = ("AUROC drops by 0.1000 (0.0500 to 0.1500), more than 0.005",)


def gate_result_of(precision: str) -> GateResult | None:
    sources = {"fp16": GateResult("parity", {}), "fp32": None}
    return sources.get(precision, GateResult("recorded", FIGURES))


def named(platform: str) -> list[str]:
    """The names of a platform's artifacts in its folder."""
    return [
        f"tiny_{precision}{FORMATS[name].suffix}"
        for name, precision in ARTIFACTS
        if platform in FORMATS[name].platforms
    ]


@pytest.fixture
def by_platform(artifacts: Artifacts) -> dict[str, list[Published]]:
    ready: dict[str, list[Published]] = {platform: [] for platform in FOLDERS}
    for (name, precision), path in artifacts.items():
        described, gate_result = verbs_of(name).describe(path), gate_result_of(precision)
        artifact = Published(name, precision, path, described, PASSED, "ab" * 32, gate_result)
        for platform in FORMATS[name].platforms:
            ready[platform].append(artifact)
    return ready


def publish_tiny(root: Path, model: Model, by_platform: dict[str, list[Published]]) -> list[Path]:
    return publish(root, model.spec, model.identity, by_platform)


OLD = {"manifest.json": b"{}", "old_model.onnx": b"old"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Assets of an earlier release."""
    root = tmp_path / "app"
    for folder in FOLDERS.values():
        (root / folder).mkdir(parents=True)
        for name, content in OLD.items():
            (root / folder / name).write_bytes(content)
    return root


def assert_as_it_was(root: Path) -> None:
    assert {name: tree(root / name) for name in FOLDERS.values()} == dict.fromkeys(
        FOLDERS.values(), OLD
    )
    assert sorted(p.name for p in root.iterdir()) == sorted(FOLDERS.values())


def test_publishing_replaces_all_folders_whole(
    old: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    folders = publish_tiny(old, model, by_platform)
    assert folders == [old / name for name in FOLDERS.values()]
    assert sorted(p.name for p in old.iterdir()) == sorted(FOLDERS.values())
    beside = ["README.md", "labels.txt", "manifest.json", "manifest.json.sha256"]
    assert {"tiny_w3.onnx", "tiny_int8.ort", "tiny_fp32.ptl"} <= set(named("android"))
    assert {"tiny_w3.onnx", "tiny_fp16.mlpackage"} <= set(named("ios"))
    for platform, folder in FOLDERS.items():
        found = sorted(p.name for p in (old / folder).iterdir())
        assert found == sorted([*beside, *named(platform)])


def test_published_artifacts_are_the_proven_ones(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]], artifacts: Artifacts
) -> None:
    publish_tiny(tmp_path, model, by_platform)
    for (name, precision), path in artifacts.items():
        for platform in FORMATS[name].platforms:
            copy = tmp_path / FOLDERS[platform] / path.name
            same = tree(copy) == tree(path) if path.is_dir() else True
            assert same, (name, precision)
            assert copy.is_dir() or copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_labels_txt_holds_the_labels_in_the_order_of_the_outputs(
    folder: str, exported: Exported
) -> None:
    text = (exported.root / folder / LABELS_FILE).read_text(encoding="utf-8")
    assert text == "".join(f"{label}\n" for label in LABELS)
    assert tuple(text.splitlines()) == read_manifest(exported.root / folder).model.labels


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_the_readme_has_what_an_app_developer_needs(folder: str, exported: Exported) -> None:
    text = (exported.root / folder / "README.md").read_text(encoding="utf-8")
    manifest = read_manifest(exported.root / folder)
    for artifact in manifest.artifacts:
        assert f"`{artifact.path}`" in text
    for part in ("64 x 64", ", ".join(LABELS), "at least 0.4", "Not a medical device"):
        assert part in text
    assert not PLACEHOLDER.search(text)


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_an_export_has_the_operators_of_a_smaller_runtime_and_the_readme_its_command(
    folder: str, exported: Exported
) -> None:
    place = exported.root / folder
    manifest = read_manifest(place)
    for name in ("required_operators.config", "required_operators_and_types.config"):
        assert name in {entry.path for entry in manifest.files}
        head, _, *rows = (place / name).read_text(encoding="utf-8").splitlines()
        run = [a.path for a in manifest.artifacts if a.format in ("onnx", "ort")]
        assert all(path in head for path in run)
        assert any(row.startswith("ai.onnx;11;Conv") for row in rows)
    text = (place / "README.md").read_text(encoding="utf-8")
    assert f"--branch v{manifest.tools['onnxruntime']} " in text
    assert '--include_ops_by_config "$ASSETS/required_operators.config"' in text
    assert ("--android " in text) is (folder == "android_assets")


def test_without_the_operators_the_readme_does_not_speak_of_them(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    publish_tiny(tmp_path, model, by_platform)
    text = (tmp_path / "ios_assets" / "README.md").read_text(encoding="utf-8")
    assert "smaller onnxruntime" not in text


@pytest.mark.parametrize("platform", FOLDERS)
def test_the_readme_says_what_evidence_is_and_what_it_is_not(
    platform: str, exported: Exported
) -> None:
    text = (exported.root / FOLDERS[platform] / "README.md").read_text(encoding="utf-8")
    flowing = " ".join(text.split())
    assert "a map of 3 rows and 3 columns" in flowing
    assert "It is **not** a map of what its labels name" in flowing
    assert "say beside it what it is. Research only. Not a medical device; never" in flowing
    assert "`evidence`: float32 `(1, 2, 3, 3)`" in flowing  # ONNX
    if platform == "android":
        assert "a tuple (`IValue.toTuple()`) of probs, float32 `(1, 2)`, and evidence" in flowing
    if platform == "ios":
        assert "`evidence`, a multi-array, float32 `(1, 2, 3, 3)`" in flowing


def test_the_readme_of_a_network_without_evidence_does_not_speak_of_it(exported: Exported) -> None:
    for platform, folder in FOLDERS.items():
        manifest = read_manifest(exported.root / folder)
        artifacts = tuple(
            replace(a, outputs=a.outputs[:1], parity=replace(a.parity, evidence=None))
            for a in manifest.artifacts
        )
        text = asset_readme(platform, replace(manifest, artifacts=artifacts))
        assert "evidence" not in text
        assert "tuple" not in text
        assert not PLACEHOLDER.search(text)
        assert "float32 `(1, 2)`" in text


def test_the_readme_has_a_paragraph_for_every_format() -> None:
    for facts in FORMATS.values():
        assert facts.integration.texts.keys() == set(facts.platforms)


def test_what_was_not_run_says_so_in_the_readme(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    not_run = ParityResult("not_run", "Core ML runs on macOS only")
    by_platform["ios"] = [replace(a, parity=not_run) for a in by_platform["ios"]]
    publish_tiny(tmp_path, model, by_platform)
    text = (tmp_path / "ios_assets" / "README.md").read_text(encoding="utf-8")
    assert text.count("not run: Core ML runs on macOS only") == len(by_platform["ios"])
    assert "pass:" not in text


def test_the_readme_names_least_runtime_and_session_options(exported: Exported) -> None:
    android = (exported.root / "android_assets" / "README.md").read_text(encoding="utf-8")
    assert "onnxruntime 1.15" in android
    assert "`intra_op_num_threads` to 2" in android
    assert "`LitePyTorchAndroid.setNumThreads(1)`" in android
    ios = (exported.root / "ios_assets" / "README.md").read_text(encoding="utf-8")
    assert "| iOS 16.0 |" in ios
    assert "| iOS 18.0 |" in ios
    assert "Compute units: all" in ios


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_the_readme_explains_every_precision_that_is_there(folder: str, exported: Exported) -> None:
    text = (exported.root / folder / "README.md").read_text(encoding="utf-8")
    here = {a.precision for a in read_manifest(exported.root / folder).artifacts}
    assert here == {"fp32", "fp16", "int8", "w4", "w3"}
    for precision in here:
        assert f"- **{precision}**: " in text


def test_the_readme_says_how_much_a_precision_loses(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    publish_tiny(tmp_path, model, by_platform)
    text = (tmp_path / "android_assets" / "README.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert sorted(rows) == sorted(named("android"))
    assert rows["tiny_fp32.onnx"].endswith("| is the fp32 model |")
    assert rows["tiny_fp16.onnx"].endswith("not compared on labelled images |")
    compared = "| AUROC 0.9000 for 0.9000, 0 of 150 labels differ, when it was compressed |"
    assert rows["tiny_w4.onnx"].endswith(compared)


def test_the_readme_says_how_many_labels_may_differ_and_what_few_images_cannot_tell(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    figures = {**FIGURES, "flip_rate": {"value": 0.0, "low": 0.0, "high": 0.0243}}
    undecided = GateResult("measured", figures, undecided=("0 of 150 labels flip, for 2%",))
    for platform, artifacts in by_platform.items():
        by_platform[platform] = [
            replace(a, gate_result=undecided) if a.precision == "w4" else a for a in artifacts
        ]
    publish_tiny(tmp_path, model, by_platform)
    text = (tmp_path / "web_assets" / "README.md").read_text(encoding="utf-8")
    assert "0 of 150 labels differ (0.0% to 2.4%)" in text
    assert "Too few labelled images to tell surely" in text
    assert text.count("onnx w4.") == 1


def test_what_was_rejected_is_listed_with_its_reasons_and_not_copied(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    kept, rejected = {}, {}
    for platform, artifacts in by_platform.items():
        kept[platform] = [a for a in artifacts if a.precision != "w3"]
        rejected[platform] = [
            replace(a, gate_result=GateResult("measured", LOST, BROKEN))
            for a in artifacts
            if a.precision == "w3"
        ]
    publish(tmp_path, model.spec, model.identity, kept, rejected)
    for platform, folder in FOLDERS.items():
        names = {p.name for p in (tmp_path / folder).iterdir()}
        assert [name for name in names if "w3" in name] == []
        manifest = read_manifest(tmp_path / folder)
        listed = [(e.format, e.precision) for e in manifest.rejected]
        assert listed == [(a.format, a.precision) for a in rejected[platform]] != []
        for entry, artifact in zip(manifest.rejected, rejected[platform], strict=True):
            assert entry.accuracy.broken_limits == BROKEN
            assert entry.accuracy.auroc_drop is not None
            assert entry.accuracy.auroc_drop.value == 0.1
            files = tree(artifact.path) if artifact.path.is_dir() else {}
            size = sum(map(len, files.values())) or artifact.path.stat().st_size
            assert entry.size_bytes == size
        text = (tmp_path / folder / "README.md").read_text(encoding="utf-8")
        assert "not published, for the accuracy lost" in text
        assert text.count(BROKEN[0]) == len(rejected[platform])


@pytest.mark.parametrize("platform", FOLDERS)
def test_a_failed_artifact_is_never_published(
    platform: str, old: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    failed = ParityResult("fail", "max |Δp| 1.0e+00 > 1e-04 on hard/red")
    by_platform[platform][-1] = replace(by_platform[platform][-1], parity=failed)
    with pytest.raises(ValueError, match="'fail' is not one of"):
        publish_tiny(old, model, by_platform)
    assert_as_it_was(old)


@pytest.mark.parametrize("copy_of", ["copy", "copytree"])
def test_ctrl_c_while_copying_leaves_both_old_folders(
    copy_of: str,
    old: Path,
    model: Model,
    by_platform: dict[str, list[Published]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Folders (copytree) are in the second platform only: the first is staged by then."""

    def interrupted(source: Path, target: Path) -> None:
        Path(target).with_suffix(".half").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, copy_of, interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish_tiny(old, model, by_platform)
    assert_as_it_was(old)


@pytest.mark.parametrize("copy_of", ["copy", "copytree"])
def test_a_full_disk_while_copying_leaves_both_old_folders_and_is_bad_input(
    copy_of: str,
    old: Path,
    model: Model,
    by_platform: dict[str, list[Published]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_space(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, copy_of, no_space)
    with pytest.raises(BadInput, match=r"cannot write .*_assets: No space left on device"):
        publish_tiny(old, model, by_platform)
    assert_as_it_was(old)


def test_a_full_disk_while_writing_the_manifest_leaves_both_old_folders(
    old: Path,
    model: Model,
    by_platform: dict[str, list[Published]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_bytes = Path.write_bytes

    def no_space(self: Path, content: bytes) -> int:
        if self.name.startswith(".manifest.json.") and "ios" in str(self.parent):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(self, content)

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(BadInput, match="No space left on device"):
        publish_tiny(old, model, by_platform)
    monkeypatch.undo()
    assert_as_it_was(old)


def test_a_platform_without_artifacts_keeps_its_old_folder(
    old: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    folders = publish_tiny(old, model, {**by_platform, "ios": []})
    assert folders == [old / "android_assets", old / "web_assets"]
    assert tree(old / "ios_assets") == OLD


def test_a_file_where_a_folder_goes_is_bad_input(
    old: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    shutil.rmtree(old / "ios_assets")
    (old / "ios_assets").write_text("a file")
    with pytest.raises(BadInput, match="is a file, and a folder must be written there"):
        publish_tiny(old, model, by_platform)
    assert (old / "ios_assets").read_text() == "a file"
    assert tree(old / "android_assets") == OLD


@pytest.mark.parametrize("folder", FOLDERS.values())
def test_a_folder_that_is_not_ours_is_never_replaced(
    folder: str, old: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    (old / folder / "manifest.json").unlink()
    before = tree(old)
    with pytest.raises(BadInput, match=rf"{folder} has no manifest\.json.*--out"):
        publish_tiny(old, model, by_platform)
    assert tree(old) == before
    assert sorted(p.name for p in old.iterdir()) == sorted(FOLDERS.values())


def test_an_empty_folder_is_filled(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    for folder in FOLDERS.values():
        (tmp_path / folder).mkdir()
    publish_tiny(tmp_path, model, by_platform)
    assert all((tmp_path / folder / "manifest.json").is_file() for folder in FOLDERS.values())


def test_a_model_of_three_labels_is_published_with_its_rule(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    spec = replace(model.spec, labels=("a", "b", "c"), positive=None, threshold=None)
    publish(tmp_path, spec, model.identity, {"android": by_platform["android"][:1]})
    text = (tmp_path / "android_assets" / "README.md").read_text(encoding="utf-8")
    assert "Decide the most probable label" in text
    assert (tmp_path / "android_assets" / LABELS_FILE).read_text() == "a\nb\nc\n"


def test_extra_files_are_published_and_listed(
    tmp_path: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    def from_manifest(platform: str, manifest: Manifest) -> dict[str, bytes]:
        assert manifest.files == ()
        return {f"src/{platform}.txt": manifest.model.name.encode()}

    known = {"golden/a b.png": b"\x89PNG", "golden/golden.json": b"{}"}
    publish(
        tmp_path,
        model.spec,
        model.identity,
        by_platform,
        extras=[from_manifest, lambda platform, manifest: known],
    )
    for platform, folder in FOLDERS.items():
        listed = {e.path: e for e in read_manifest(tmp_path / folder).files}
        expected = {f"src/{platform}.txt": b"tiny", **known}
        assert listed.keys() == {"README.md", LABELS_FILE, *expected}
        for path, content in expected.items():
            assert (tmp_path / folder / path).read_bytes() == content
            digest = hashlib.sha256(content).hexdigest()
            assert listed[path] == FileEntry(path, len(content), digest)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("../beside.txt", "leaves the folder"),
        ("/etc/passwd", "is absolute"),
        ("README.md", "is there already"),
        ("labels.txt", "is there already"),
        ("manifest.json", "is there already"),
        ("manifest.json.sha256", "is there already"),
        ("tiny_fp32.onnx", "is there already"),
        ("tiny_fp32.mlpackage/more.txt", "lies in an artifact"),
    ],
)
def test_an_extra_file_in_a_wrong_place_is_refused_and_nothing_changes(
    path: str, fault: str, old: Path, model: Model, by_platform: dict[str, list[Published]]
) -> None:
    def extra(platform: str, manifest: Manifest) -> dict[str, bytes]:
        return {"fine.txt": b"", path: b"wrong"} if platform == "ios" else {}

    with pytest.raises(ValueError, match=fault):
        publish(old, model.spec, model.identity, by_platform, extras=[extra])
    assert_as_it_was(old)
