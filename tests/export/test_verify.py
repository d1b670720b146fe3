from __future__ import annotations

import ast
import copy
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from export import verify
from export.cli import main as cli
from export.manifest.manifest import SCHEMA, SCHEMA_FILE
from export.publish.assets import FOLDERS
from export.publish.build_manifest import file_entries
from export.verify import CannotCheck, Difference, main
from tests.export.conftest import tree
from tests.export.made_assets import ANDROID, FLIPPED, age, edit_manifest, flip, keep, write_assets

HERE = Path(__file__).resolve().parents[2]
FILE = HERE / "export" / "verify.py"
OLDEST_PYTHON = (3, 9)

each_platform = pytest.mark.parametrize("platform", FOLDERS)
each_place = pytest.mark.parametrize("place", FLIPPED)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_assets(tmp_path_factory.mktemp("made") / "assets")


@pytest.fixture
def folders(made: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Copies, to be damaged."""
    return {
        platform: Path(shutil.copytree(folder, tmp_path / platform))
        for platform, folder in made.items()
    }


@pytest.fixture
def android(folders: dict[str, Path]) -> Path:
    return folders["android"]


@pytest.fixture
def ios(folders: dict[str, Path]) -> Path:
    return folders["ios"]


def found(folder: Path, pinned: str | None = None) -> list[tuple[str, str]]:
    """(kind, path) of all differences."""
    return [(d.kind, d.path) for d in verify.verify(folder, pinned).differences]


def only(folder: Path) -> Difference:
    (difference,) = verify.verify(folder).differences
    return difference


def covered(folder: Path) -> list[str]:
    """All files but the manifest itself, and what schema 2 had no place for."""
    document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    uncovered = {"README.md"} if document["schema"] < 3 else set()
    return sorted(tree(folder).keys() - {"manifest.json", "manifest.json.sha256"} - uncovered)


def cannot(folder: Path) -> str:
    with pytest.raises(CannotCheck) as refused:
        verify.verify(folder)
    return str(refused.value)


# --- what is published --------------------------------------------------------------------------


@each_platform
def test_what_this_repository_publishes_is_as_its_manifest_says(platform: str) -> None:
    folder = HERE / FOLDERS[platform]
    verdict = verify.verify(folder)
    assert verdict.differences == ()
    assert verdict.not_covered == (("README.md",) if verdict.schema == 2 else ())
    by_hash = {*covered(folder)} - ({"labels.txt"} if verdict.schema == 2 else set())
    assert verdict.files == len(by_hash)
    assert verdict.size_bytes > 1e6


@each_platform
def test_a_changed_byte_in_any_file_that_this_repository_publishes_is_found(
    platform: str, tmp_path: Path
) -> None:
    """All files at once: the verdict names each of them, whatever the others have."""
    for place in FLIPPED:
        folder = Path(shutil.copytree(HERE / FOLDERS[platform], tmp_path / place))
        for path in covered(folder):
            flip(folder / path, place)
        assert [path for _, path in found(folder)] == covered(folder)
        shutil.rmtree(folder)


@each_platform
def test_what_the_writer_makes_is_as_its_manifest_says(
    platform: str, folders: dict[str, Path]
) -> None:
    before = tree(folders[platform])
    assert found(folders[platform]) == []
    assert tree(folders[platform]) == before


# --- files --------------------------------------------------------------------------------------


@each_platform
@each_place
def test_one_changed_byte_in_any_file_is_that_one_difference(
    platform: str, place: str, folders: dict[str, Path]
) -> None:
    folder = folders[platform]
    for path in covered(folder):
        flip(folder / path, place)
        kind = "labels" if path == "labels.txt" else "changed"
        assert found(folder) == [(kind, path)]
        flip(folder / path, place)
    assert found(folder) == []


@each_platform
def test_a_missing_file_is_named(platform: str, folders: dict[str, Path]) -> None:
    folder = folders[platform]
    for path in covered(folder):
        content = (folder / path).read_bytes()
        (folder / path).unlink()
        assert found(folder) == [("missing", path)]
        (folder / path).write_bytes(content)


@pytest.mark.parametrize("change", [b"", b"more"], ids=["empty", "longer"])
def test_a_file_of_another_size_says_both_sizes(change: bytes, android: Path) -> None:
    path = android / "tiny_w4.onnx"
    path.write_bytes(path.read_bytes() + change if change else b"")
    message = f"{504 if change else 0} bytes, the manifest says 500"
    assert only(android) == Difference("changed", "tiny_w4.onnx", message)


def test_extra_files_and_folders_are_named(ios: Path) -> None:
    (ios / "tiny_fp16.onnx").write_bytes(b"of an earlier release")
    (ios / "tiny_w4.mlpackage" / "Data" / "old.bin").write_bytes(b"old")
    (ios / "tiny_w3.mlpackage" / "Data").mkdir(parents=True)
    (ios / "tiny_w3.mlpackage" / "Data" / "one").touch()
    assert found(ios) == [
        ("extra", "tiny_fp16.onnx"),
        ("extra", "tiny_w3.mlpackage"),
        ("extra", "tiny_w4.mlpackage/Data/old.bin"),
    ]


def test_a_desktops_file_is_listed_and_not_a_difference_but_within_a_package_it_is(
    ios: Path,
) -> None:
    (ios / ".DS_Store").touch()
    assert verify.verify(ios).not_covered == (".DS_Store",)
    assert found(ios) == []
    (ios / "tiny_w4.mlpackage" / ".DS_Store").touch()
    assert found(ios) == [("extra", "tiny_w4.mlpackage/.DS_Store")]


def test_all_differences_are_listed_not_just_the_first(android: Path) -> None:
    (android / "labels.txt").unlink()
    (android / "new.onnx").touch()
    flip(android / "tiny_fp32.onnx", "middle")
    (android / "tiny_fp32.ort").write_bytes(b"half")
    assert found(android) == [
        ("missing", "labels.txt"),
        ("extra", "new.onnx"),
        ("changed", "tiny_fp32.onnx"),
        ("changed", "tiny_fp32.ort"),
    ]


def test_files_of_two_releases_in_one_folder_are_distinguished(
    android: Path, tmp_path: Path
) -> None:
    other = write_assets(tmp_path / "other", seed=1)["android"]
    names = [p for p in covered(android) if (other / p).read_bytes() != (android / p).read_bytes()]
    assert len(names) == len(ANDROID)
    for path in names:
        content = (android / path).read_bytes()
        shutil.copy(other / path, android / path)
        assert found(android) == [("changed", path)]
        (android / path).write_bytes(content)
    for name in ("manifest.json", "manifest.json.sha256"):
        shutil.copy(other / name, android / name)
    assert found(android) == [("changed", path) for path in names]


def test_the_manifest_of_the_other_platform_shows(folders: dict[str, Path]) -> None:
    shutil.copy(folders["ios"] / "manifest.json", folders["android"] / "manifest.json")
    kinds = {kind for kind, _ in found(folders["android"])}
    assert kinds == {"missing", "extra", "changed"}


def test_a_folder_in_place_of_a_file_and_the_reverse(ios: Path) -> None:
    (ios / "tiny_fp32.onnx").unlink()
    (ios / "tiny_fp32.onnx").mkdir()
    (ios / "tiny_fp32.onnx" / "tiny_fp32.onnx").touch()
    shutil.rmtree(ios / "tiny_w4.mlpackage")
    (ios / "tiny_w4.mlpackage").touch()
    (ios / "labels.txt").unlink()
    (ios / "labels.txt").mkdir()
    differences = found(ios)
    assert ("not a file", "tiny_fp32.onnx") in differences
    assert ("not a folder", "tiny_w4.mlpackage") in differences
    assert ("missing", "tiny_w4.mlpackage/Manifest.json") in differences
    assert ("not a file", "labels.txt") in differences


def test_a_pipe_is_not_waited_for(android: Path) -> None:
    (android / "tiny_w4.onnx").unlink()
    os.mkfifo(android / "tiny_w4.onnx")
    assert found(android) == [("not a file", "tiny_w4.onnx")]


@pytest.mark.parametrize("path", ["tiny_fp32.onnx", "labels.txt", "README.md"])
def test_a_link_is_a_difference_even_to_the_very_content(
    path: str, android: Path, tmp_path: Path
) -> None:
    shutil.move(android / path, tmp_path / "outside")
    (android / path).symlink_to(tmp_path / "outside")
    assert found(android) == [("link", path)]


def test_a_linked_package_is_not_gone_into(ios: Path, tmp_path: Path) -> None:
    shutil.move(ios / "tiny_w4.mlpackage", tmp_path / "outside")
    (ios / "tiny_w4.mlpackage").symlink_to(tmp_path / "outside", target_is_directory=True)
    kinds = [kind for kind, _ in found(ios)]
    assert kinds == ["link", "missing", "missing", "missing"]


def test_a_stray_link_is_extra(android: Path) -> None:
    (android / "etc").symlink_to("/etc")
    assert found(android) == [("extra", "etc")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_difference(android: Path) -> None:
    (android / "tiny_w4.onnx").chmod(0)
    assert found(android) == [("unreadable", "tiny_w4.onnx")]


def test_an_unreadable_file_says_why(android: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(verify, "file_sha256", refuse)
    assert {d.message for d in verify.verify(android).differences} == {"Permission denied"}


def test_whatever_is_done_to_any_one_file_is_found(folders: dict[str, Path]) -> None:
    """The manifest and its sum included: at random places, by every kind of small damage."""
    rng = random.Random(7)

    def damaged(content: bytes) -> bytes:
        at = rng.randrange(len(content))
        kind = rng.choice(("flip", "set", "insert", "delete", "cut", "swap", "append"))
        changed = bytearray(content)
        if kind == "flip":
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == "set":
            changed[at] = rng.randrange(256)
        elif kind == "insert":
            changed.insert(at, rng.randrange(256))
        elif kind == "delete":
            del changed[at]
        elif kind == "cut":
            del changed[at:]
        elif kind == "swap":
            changed[at], changed[at - 1] = changed[at - 1], changed[at]
        else:
            changed += rng.choice((b"\0", b"\n", b" "))
        return bytes(changed)

    tried = 0
    for folder in folders.values():
        for path, content in tree(folder).items():
            for _ in range(40):
                changed = damaged(content)
                if changed == content:
                    continue
                (folder / path).write_bytes(changed)
                try:
                    differences = verify.verify(folder).differences
                except CannotCheck:
                    differences = [path] if path == "manifest.json" else []
                assert len(differences) > 0, (path, changed)
                tried += 1
            (folder / path).write_bytes(content)
        assert found(folder) == []
    assert tried > 900


def test_damage_to_the_manifest_shows_by_the_sum_next_to_it(android: Path) -> None:
    path = android / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"median": 2.5', b'"median": 2.6', 1))
    difference = only(android)
    assert (difference.kind, difference.path) == ("changed", "manifest.json.sha256")
    assert "one of the two was changed" in difference.message


def test_the_sum_is_one_that_sha256sum_checks(android: Path) -> None:
    command = ["sha256sum", "--strict", "--check", "manifest.json.sha256"]
    assert subprocess.run(command, cwd=android, capture_output=True).returncode == 0
    flip(android / "manifest.json", "end")
    assert subprocess.run(command, cwd=android, capture_output=True).returncode == 1


def test_labels_that_agree_with_the_outputs_and_not_with_the_manifest_are_found(
    android: Path,
) -> None:
    def other_hash(document: dict[str, Any]) -> None:
        (entry,) = [e for e in document["files"] if e["path"] == "labels.txt"]
        entry["sha256"] = "0" * 64

    edit_manifest(android, other_hash)
    assert found(android) == [("changed", "labels.txt")]


def test_what_builds_and_git_leave_in_the_folder_is_listed_and_is_no_difference(
    ios: Path,
) -> None:
    for name in (".build", ".swiftpm", "build", ".git"):
        (ios / name).mkdir()
        (ios / name / "anything").touch()
    assert found(ios) == []
    assert verify.verify(ios).not_covered == (".build", ".git", ".swiftpm", "build")
    (ios / "src" / "build").mkdir()
    (ios / ".gradle").touch()
    assert found(ios) == [("extra", ".gradle"), ("extra", "src/build")]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("manifest.json", "is a name that no listed file may have"),
        ("manifest.json.sha256", "is a name that no listed file may have"),
        (".DS_Store", "is a name that no listed file may have"),
        ("tiny_fp32.onnx", "is part of an artifact"),
        ("tiny_w4.mlpackage/more", "is part of an artifact"),
        ("made.txt", "is listed twice"),
        ("../made.txt", "leaves the folder by .."),
    ],
)
def test_a_file_next_to_the_artifacts_with_a_wrong_path_is_a_difference(
    path: str, reason: str, ios: Path
) -> None:
    entry = {"path": path, "size_bytes": 1, "sha256": "0" * 64}
    edit_manifest(ios, lambda document: document["files"].append(entry))
    difference = only(ios)
    assert (difference.kind, difference.path) == ("manifest", path)
    assert reason in difference.message


def test_a_manifest_that_does_not_list_the_labels_is_a_difference(ios: Path) -> None:
    def forget(document: dict[str, Any]) -> None:
        document["files"] = [e for e in document["files"] if e["path"] != "labels.txt"]

    edit_manifest(ios, forget)
    assert found(ios) == [("manifest", "labels.txt")]


def test_it_takes_less_than_a_third_of_a_second_and_the_hashing(android: Path) -> None:
    """A process as an app's CI starts it: Python, imports, the manifest, the listing.

    In time of the processor, which others on the machine do not change.
    """
    command = [sys.executable, "-S", "-I", str(FILE), str(android)]
    seconds = []
    for _ in range(5):
        before = os.times()
        assert subprocess.run(command, capture_output=True).returncode == 0
        after = os.times()
        used = after.children_user + after.children_system
        seconds.append(used - before.children_user - before.children_system)
    assert min(seconds) < 0.3


# --- an app that ships a part -------------------------------------------------------------------


def test_what_an_app_does_not_ship_is_left_out_and_not_missing(ios: Path) -> None:
    keep(ios, "tiny_w4.mlpackage", "labels.txt")
    assert ("missing", "tiny_fp32.onnx") in found(ios)
    verdict = verify.verify(ios, only=["tiny_w4.mlpackage", "labels.txt"])
    assert verdict.differences == ()
    assert set(verdict.left_out) >= {"tiny_fp32.onnx", "tiny_fp16.mlpackage/Manifest.json"}
    assert "golden/golden.json" in verdict.left_out
    assert verdict.files == 4
    assert verdict.size_bytes == sum(map(len, tree(ios).values())) - len(tree(ios)["manifest.json"])


@pytest.mark.parametrize("pattern", ["*_w4*", "tiny_w4.onnx", "tiny_?4.onnx", "*.onnx"])
def test_patterns_name_what_must_be_there(pattern: str, android: Path) -> None:
    keep(android, "tiny_fp32.onnx", "tiny_w4.onnx")
    verdict = verify.verify(android, only=[pattern])
    assert verdict.differences == ()
    (android / "tiny_w4.onnx").unlink()
    (missing,) = verify.verify(android, only=[pattern]).differences
    assert (missing.kind, missing.path) == ("missing", "tiny_w4.onnx")


def test_a_folder_is_named_with_and_without_a_slash(android: Path) -> None:
    keep(android, "golden")
    for pattern in ("golden", "golden/", "golden/*"):
        assert verify.verify(android, only=[pattern]).differences == ()
    (android / "golden" / "golden.json").unlink()
    for pattern in ("golden", "golden/", "golden/*"):
        (missing,) = verify.verify(android, only=[pattern]).differences
        assert missing.path == "golden/golden.json"


def test_what_is_there_is_checked_though_nobody_asked_for_it(android: Path) -> None:
    flip(android / "tiny_fp32.ort", "middle")
    (android / "more").touch()
    verdict = verify.verify(android, only=["tiny_w4.onnx"])
    assert [(d.kind, d.path) for d in verdict.differences] == [
        ("extra", "more"),
        ("changed", "tiny_fp32.ort"),
    ]


def test_no_package_is_left_out_by_half(ios: Path) -> None:
    (ios / "tiny_w4.mlpackage" / "Manifest.json").unlink()
    (missing,) = verify.verify(ios, only=["tiny_fp32.onnx"]).differences
    assert (missing.kind, missing.path) == ("missing", "tiny_w4.mlpackage/Manifest.json")


def test_a_pattern_for_nothing_cannot_be_checked(android: Path) -> None:
    with pytest.raises(
        CannotCheck, match=r"--only \*_w5\.onnx: nothing of that name.*tiny_w4\.onnx"
    ):
        verify.verify(android, only=["*_w4.onnx", "*_w5.onnx"])


def test_what_is_left_out_is_printed(android: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(android, "tiny_w4.onnx", "labels.txt")
    assert main([str(android), "--only", "*_w4.onnx", "--only", "labels.txt"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 files" in lines[0]
    assert lines[1] == (
        "left out by --only: README.md, golden (1 file), made.txt, manifest.json.sha256, "
        "src (1 file), tiny_fp32.onnx, tiny_fp32.ort, tiny_int8.ptl"
    )
    assert main([str(android), "--only", "*_w4.onnx", "--only", "golden"]) == 1
    assert "missing: golden/golden.json" in capsys.readouterr().out


def test_labels_are_left_out_of_an_earlier_release_as_well(android: Path) -> None:
    age(android, 2)
    (android / "labels.txt").unlink()
    assert found(android) == [("missing", "labels.txt")]
    verdict = verify.verify(android, only=["*.onnx"])
    assert (verdict.differences, verdict.left_out) == ((), ("labels.txt",))
    (missing,) = verify.verify(android, only=["labels.txt"]).differences
    assert missing.path == "labels.txt"


# --- what Git does ------------------------------------------------------------------------------


def test_a_pointer_of_git_lfs_says_how_to_fetch_the_file(android: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 500\n"
    (android / "tiny_w4.onnx").write_text(pointer)
    assert "`git lfs pull`" in only(android).message


def test_windows_line_ends_say_how_to_keep_git_from_making_them(ios: Path) -> None:
    for path in ("labels.txt", "tiny_w4.mlpackage/Manifest.json"):
        content = (ios / path).read_bytes()
        (ios / path).write_bytes(content.replace(b"\n", b"\r\n"))
        assert ".gitattributes" in only(ios).message
        (ios / path).write_bytes(content)


# --- labels -------------------------------------------------------------------------------------


def test_swapped_labels_say_both_orders(android: Path) -> None:
    (android / "labels.txt").write_text("non_covid19\ncovid19\n")
    message = "in the order non_covid19, covid19; the outputs are in the order covid19, non_covid19"
    assert only(android) == Difference("labels", "labels.txt", message)


def test_labels_swapped_in_the_manifest_show(android: Path) -> None:
    edit_manifest(android, lambda document: document["model"]["labels"].reverse())
    assert found(android) == [("labels", "labels.txt")]


OTHER_LABELS = {
    "no end": b"covid19\nnon_covid19",
    "empty line": b"covid19\nnon_covid19\n\n",
    "BOM": b"\xef\xbb\xbfcovid19\nnon_covid19\n",
    "one": b"covid19\n",
    "space": b"covid19 \nnon_covid19\n",
    "empty": b"",
    "no UTF-8": b"\xff\xfe\n",
    "others": b"a\nb\n",
    "huge": b"x" * 3_000_000,
}


@pytest.mark.parametrize("content", OTHER_LABELS.values(), ids=OTHER_LABELS)
def test_other_content_of_labels_txt_is_found(content: bytes, android: Path) -> None:
    (android / "labels.txt").write_bytes(content)
    assert found(android) == [("labels", "labels.txt")]
    assert len(only(android).message) < 500


def test_labels_of_any_script_are_compared(tmp_path: Path) -> None:
    labels = ("größe", "肺炎")
    folder = write_assets(tmp_path / "made", labels=labels, positive="肺炎")["android"]
    assert found(folder) == []
    (folder / "labels.txt").write_text("肺炎\ngröße\n", encoding="utf-8")
    assert found(folder) == [("labels", "labels.txt")]


@pytest.mark.parametrize("label", ["", "two\nlines"])
def test_a_label_that_labels_txt_cannot_hold_is_a_difference(label: str, android: Path) -> None:
    (android / "labels.txt").write_text(f"covid19\nnon_covid19\n{label}\n")

    def add(document: dict[str, Any]) -> None:
        document["model"]["labels"].append(label)
        for entry in document["files"]:
            if entry["path"] == "labels.txt":
                entry.update(vars(file_entries(android, "labels.txt")[0]))

    edit_manifest(android, add)
    assert found(android) == [("manifest", "manifest.json")]


def test_a_threshold_of_no_label_is_a_difference(android: Path) -> None:
    edit_manifest(android, lambda document: document["model"].update(positive="flu"))
    assert found(android) == [("manifest", "manifest.json")]


# --- paths in the manifest ----------------------------------------------------------------------

UNSAFE = ("..", "../secret", "a/../../secret", "a/./b", "a//b", "a/", "", ".", "/etc/passwd")
UNSAFE += (
    "C:secret",
    "C:\\secret",
    "a\\b",
    "\\\\host\\share",
    "a\nb",
    "a\x00b",
    "a\x1b[0m",
    "\ud800",
)


@pytest.mark.parametrize("path", UNSAFE, ids=ascii)
def test_a_path_that_leaves_the_folder_is_a_difference_and_is_not_opened(
    path: str, android: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (android.parent / "secret").write_bytes(b"secret")
    (android / "a").mkdir()
    secret = {"path": path, "size_bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}

    def plant(document: dict[str, Any]) -> None:
        artifact = document["artifacts"][0]
        document["artifacts"].append({**artifact, **secret, "files": [secret]})

    edit_manifest(android, plant)
    opened = []
    hashed = verify.file_sha256
    monkeypatch.setattr(verify, "file_sha256", lambda path: opened.append(path) or hashed(path))
    assert ("manifest", path) in found(android)
    assert {path.relative_to(android).as_posix() for path in opened} <= set(covered(android))


@pytest.mark.parametrize("path", ["tiny_fp32.ort", "other.onnx", "tiny_fp32.onnx.x/y"])
def test_a_file_that_is_no_part_of_its_artifact_is_a_difference(path: str, android: Path) -> None:
    edit_manifest(android, lambda document: document["artifacts"][0]["files"][0].update(path=path))
    assert ("manifest", path) in found(android)


def test_an_artifact_that_lies_deeper_is_a_difference(ios: Path) -> None:
    deep = "tiny_w4.mlpackage/Data"
    edit_manifest(ios, lambda document: document["artifacts"][-1].update(path=deep))
    assert ("manifest", deep) in found(ios)


@pytest.mark.parametrize("path", ["manifest.json", "labels.txt", "README.md", ".DS_Store"])
def test_the_folders_own_files_are_no_artifacts(path: str, android: Path) -> None:
    def rename(document: dict[str, Any]) -> None:
        document["artifacts"][0]["path"] = document["artifacts"][0]["files"][0]["path"] = path

    edit_manifest(android, rename)
    assert ("manifest", path) in found(android)


def test_a_manifest_that_contradicts_itself_is_a_difference(android: Path) -> None:
    def contradict(document: dict[str, Any]) -> None:
        document["artifacts"][0]["size_bytes"] += 1
        document["artifacts"].append(document["artifacts"][1])

    edit_manifest(android, contradict)
    messages = [d.message for d in verify.verify(android).differences]
    assert messages == [
        "listed with 501 bytes, its files have 500",
        "path of a file is listed twice",
    ]


# --- the manifest -------------------------------------------------------------------------------


def test_no_folder_and_no_manifest_cannot_be_checked(android: Path, tmp_path: Path) -> None:
    assert cannot(tmp_path / "nothing") == f"no folder at {tmp_path / 'nothing'}"
    assert cannot(android / "labels.txt") == f"no folder at {android / 'labels.txt'}"
    (tmp_path / "empty").mkdir()
    assert cannot(tmp_path / "empty").endswith("No such file or directory")
    assert cannot(tmp_path).endswith("; did you mean android, ios, web in it?")


def test_a_truncated_manifest_cannot_be_checked(android: Path) -> None:
    content = (android / "manifest.json").read_bytes()
    for length in (0, 1, len(content) // 3, len(content) // 2, len(content) - 3):
        (android / "manifest.json").write_bytes(content[:length])
        assert "manifest.json is not JSON" in cannot(android)


@pytest.mark.parametrize(
    "content",
    [
        b'{"schema": 2, "schema": 1}',
        b'{"schema": NaN}',
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        '{"schema": 2}'.encode("utf-16"),
        b"[" * 100_000,
        b"1" * 10_000 + b"x",
    ],
    ids=["key twice", "NaN", "no UTF-8", "BOM", "UTF-16", "deep", "digits"],
)
def test_what_is_not_json_cannot_be_checked(content: bytes, android: Path) -> None:
    (android / "manifest.json").write_bytes(content)
    assert "manifest.json is not JSON" in cannot(android)


def test_a_huge_manifest_is_not_read(android: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MANIFEST_LIMIT_BYTES", 1000)
    assert "more than 1000 bytes" in cannot(android)


@pytest.mark.parametrize("place", ["link", "folder", "pipe"])
def test_a_manifest_that_is_no_regular_file_cannot_be_checked(place: str, android: Path) -> None:
    manifest = android / "manifest.json"
    shutil.move(manifest, android.parent / "outside.json")
    if place == "link":
        manifest.symlink_to(android.parent / "outside.json")
    elif place == "folder":
        manifest.mkdir()
    else:
        os.mkfifo(manifest)
    assert "is not a regular file" in cannot(android)


@pytest.mark.parametrize("schema", [0, 4, "3", 3.0, True, None, [3]], ids=str)
def test_an_unknown_schema_cannot_be_checked(schema: object, android: Path) -> None:
    edit_manifest(android, lambda document: document.update(schema=schema))
    assert "known here: 1, 2 and 3" in cannot(android)


@pytest.mark.parametrize("text", ["[]", "{}", "null", "7", '"2"'])
def test_json_that_is_no_manifest_cannot_be_checked(text: str, android: Path) -> None:
    (android / "manifest.json").write_text(text)
    assert "known here: 1, 2 and 3" in cannot(android)


def test_all_that_is_wrong_with_a_manifest_is_named(android: Path) -> None:
    def damage(document: dict[str, Any]) -> None:
        del document["model"]["labels"]
        document["artifacts"][1]["files"][0]["sha256"] = "AB" * 32
        document["tools"] = []

    edit_manifest(android, damage)
    reasons = cannot(android).split("; ")
    assert [reason.split(": ", 1)[1] for reason in reasons] == [
        "model.labels is missing",
        "artifacts[1].files[0].sha256 is not a SHA-256 in lower case",
        "tools is not an object of strings",
    ]


def test_other_pixels_than_an_app_gives_cannot_be_of_this_schema(android: Path) -> None:
    edit_manifest(android, lambda document: document["model"]["input"].update(dtype="float32"))
    assert 'model.input.dtype is not "uint8"' in cannot(android)


def test_fields_of_a_later_release_are_no_difference(android: Path) -> None:
    edit_manifest(android, lambda document: document["artifacts"][0].update(golden={"images": 3}))
    assert found(android) == []


@pytest.mark.parametrize("schema", [1, 2])
@each_platform
def test_a_folder_of_an_earlier_release_is_checked_as_far_as_its_manifest_goes(
    platform: str, schema: int, folders: dict[str, Path]
) -> None:
    folder = folders[platform]
    age(folder, schema)
    verdict = verify.verify(folder)
    assert (verdict.schema, verdict.differences) == (schema, ())
    assert verdict.not_covered == ("README.md",)
    flip(folder / "tiny_fp32.onnx", "end")
    (folder / "golden").mkdir()
    (folder / "manifest.json.sha256").touch()
    (folder / "labels.txt").unlink()
    assert found(folder) == [
        ("extra", "golden"),
        ("missing", "labels.txt"),
        ("extra", "manifest.json.sha256"),
        ("changed", "tiny_fp32.onnx"),
    ]


def test_a_field_that_an_earlier_schema_does_not_have_is_not_read(android: Path) -> None:
    age(android, 2)
    edit_manifest(android, lambda document: document.update(files=7))
    assert found(android) == []


@pytest.mark.parametrize(("schema", "lacks"), [(1, "rejected"), (2, "files")])
def test_a_manifest_cannot_pass_for_one_of_the_next_schema(
    schema: int, lacks: str, android: Path
) -> None:
    age(android, schema)
    edit_manifest(android, lambda document: document.update(schema=schema + 1))
    assert f"{lacks} is missing" in cannot(android)


BILINEAR = {"filter": "bilinear", "antialias": True}


@pytest.mark.parametrize(
    ("resize", "known"),
    [
        ({"mode": "squish"}, True),
        ({"mode": "squish", "margin": 32}, True),
        ({"mode": "crop"}, True),
        ({"mode": "pad", "fill": "reflection"}, True),
        ({"mode": "centre", "fill": "zeros"}, True),
        ({"mode": "stretch"}, False),
        ({"mode": "pad"}, False),
        ({"mode": "pad", "fill": "white"}, False),
        ({"mode": "crop", "fill": "zeros"}, False),
        ({"mode": "squish", "margin": 0}, False),
        ({"mode": "crop", "margin": 8}, False),
        ({"mode": "crop", "gravity": "north"}, False),
        ({"mode": "crop", "filter": "bicubic"}, False),
        ({"mode": "crop", "antialias": False}, False),
    ],
    ids=str,
)
def test_a_way_to_resize_that_apps_do_not_know_is_refused(
    resize: dict[str, Any], known: bool, android: Path
) -> None:
    edit_manifest(android, lambda d: d["model"]["input"].update(resize={**BILINEAR, **resize}))
    if known:
        assert verify.verify(android).differences == ()
    else:
        assert "model.input.resize" in cannot(android)


def test_a_pinned_manifest_shows_any_changed_byte_of_it(android: Path) -> None:
    path = android / "manifest.json"
    content = path.read_bytes()
    pinned = hashlib.sha256(content).hexdigest()
    assert verify.verify(android, pinned.upper()).differences == ()
    codes = set()
    for position in [*range(0, len(content), 53), len(content) - 1]:
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        code = main([str(android), "--manifest-sha256", pinned])
        assert code in (1, 2), position
        assert main([str(android)]) in (0, 1, 2)  # no traceback, whatever is in it
        codes.add(code)
    assert codes == {1, 2}


# --- the fields, compared with the schema -------------------------------------------------------


def required(schema: dict[str, Any], value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple]:
    """The places of all required fields in a document, by the JSON Schema; of arrays the first."""
    while "$ref" in schema or "anyOf" in schema:
        name = schema["$ref"].split("/")[-1] if "$ref" in schema else "accuracy"
        schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["$defs"][name]
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            yield (*at, name)
            yield from required(schema["properties"][name], value[name], (*at, name))
    elif isinstance(value, list) and value and "items" in schema:
        yield from required(schema["items"], value[0], (*at, 0))


def at(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def test_the_fields_are_those_of_the_schema(android: Path) -> None:
    """Both refuse the same: a missing field, and a value of another type in any field."""
    assert max(verify.FIELDS) == SCHEMA
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    document = json.loads((android / "manifest.json").read_text(encoding="utf-8"))
    compressed = document["artifacts"].pop(1)  # the first, so that its accuracy is looked at
    document["artifacts"].insert(0, compressed)
    document["rejected"] = [
        {key: compressed[key] for key in ("format", "precision", "size_bytes", "accuracy")}
    ]

    def refuses(changed: dict[str, Any]) -> bool:
        faults = verify.shape_faults(changed, verify.FIELDS[SCHEMA])
        return bool(faults or verify._constant_faults(changed))

    assert validator.is_valid(document)
    assert not refuses(document)
    places = [place for place in required(schema, document) if place != ("schema",)]
    assert len(places) > 60
    assert ("rejected", 0, "accuracy", "limits") in places
    for place in places:
        changed = copy.deepcopy(document)
        del at(changed, place[:-1])[place[-1]]
        assert not validator.is_valid(changed), place
        assert refuses(changed), place
        for value in (None, True, "text", -1, 0, 1.5, [], {}, [1], {"a": 1}, {"a": "b"}, {"a": []}):
            at(changed, place[:-1])[place[-1]] = value
            if place[-1] == "sets" and isinstance(value, dict):
                continue  # open in both
            assert refuses(changed) != validator.is_valid(changed), (place, value)


# --- the command line ---------------------------------------------------------------------------


def test_the_exit_code_is_0_where_all_is_as_it_should_be(
    android: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(android)]) == 0
    digest = hashlib.sha256((android / "manifest.json").read_bytes()).hexdigest()
    paths = covered(android)
    size = sum((android / path).stat().st_size for path in paths)
    assert capsys.readouterr().out.splitlines() == [
        f"{android}: tiny 1.2.3, {len(paths)} files, {size:,} bytes, all as the manifest says",
        f"SHA-256 of manifest.json: {digest}",
    ]


def test_the_exit_code_is_1_where_something_differs(
    android: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (android / "labels.txt").unlink()
    (android / "old.onnx").touch()
    assert cli.main(["verify", str(android)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "missing: labels.txt: not in the folder",
        "extra: old.onnx: file that is not in the manifest",
    ]
    assert "2 differences; pull the folder again" in lines[2]


def test_the_exit_code_is_2_where_nothing_can_be_checked(
    android: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_manifest(android, lambda document: document.update(schema=4))
    assert cli.main(["verify", str(android)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    with pytest.raises(SystemExit) as stopped:
        main([str(android), "--manifest-sha256", "abc"])
    assert stopped.value.code == 2


def test_json_says_the_same_to_programs(android: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(android), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "as it should be"
    flip(android / "tiny_w4.onnx", "start")
    assert main([str(android), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "differs"
    assert document["model"]["version"] == "1.2.3"
    (difference,) = document["differences"]
    assert (difference["kind"], difference["path"]) == ("changed", "tiny_w4.onnx")
    (android / "manifest.json").unlink()
    assert main([str(android), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "cannot be checked"
    assert len(document["reasons"]) == 1


def test_a_name_in_the_folder_cannot_write_lines_of_its_own_into_a_log(
    android: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (android / "x\n::error::all lost\x1b[2J").touch()
    (android / os.fsdecode(b"\xff")).touch()
    assert main([str(android)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("extra: x\\n::error::all lost\\x1b[2J: ")


def test_a_console_of_few_characters_is_enough(
    android: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (android / "肺炎").touch()
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    assert main([str(android)]) == 1
    screen.flush()
    assert b"extra: \\u80ba\\u708e: " in screen.buffer.getvalue()


# --- one file, the standard library, an old Python ----------------------------------------------


def test_it_runs_alone_with_the_standard_library_and_imports_nothing_else(
    android: Path, tmp_path: Path
) -> None:
    """Copied away, without site-packages, without the folder of the script on the path."""
    alone = tmp_path / "tools" / "verify.py"
    alone.parent.mkdir()
    shutil.copy(FILE, alone)
    code = (
        f"import runpy, sys\nsys.argv = ['verify.py', {str(android)!r}]\n"
        f"try: runpy.run_path({str(alone)!r}, run_name='__main__')\n"
        "except SystemExit as done: code = done.code\n"
        "names = {name.split('.')[0] for name in sys.modules} - {'__main__', '__mp_main__'}\n"
        "print('OUTSIDE', code, sorted(names - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "OUTSIDE 0 []"
    direct = subprocess.run([sys.executable, "-S", "-I", str(FILE), str(android)], cwd=tmp_path)
    assert direct.returncode == 0


def test_no_file_next_to_it_hides_one_of_the_standard_library() -> None:
    """``python export/verify.py`` looks for modules in export/ first."""
    assert {path.stem for path in FILE.parent.glob("*")} & sys.stdlib_module_names == set()


def test_its_syntax_is_that_of_python_3_9() -> None:
    text = FILE.read_text(encoding="utf-8")
    ast.parse(text, feature_version=OLDEST_PYTHON)
    assert "Python 3.9 or newer" in ast.get_docstring(ast.parse(text))
    assert "Python 3.9 or newer" in verify.DESCRIPTION
    with pytest.raises(SyntaxError):  # what the parser would find
        ast.parse("match 1:\n    case _: pass", feature_version=OLDEST_PYTHON)


@pytest.mark.parametrize("python", ["python3.9", "python3.10", "python3.12", "python3.13"])
def test_other_pythons_run_it(python: str, android: Path) -> None:
    found = shutil.which(python)
    if not found or subprocess.run([found, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no {python} here")
    done = subprocess.run([found, "-S", "-I", str(FILE), str(android)], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    (android / "labels.txt").unlink()
    (android / "manifest.json").write_bytes((android / "manifest.json").read_bytes())
    done = subprocess.run(
        [found, "-S", "-I", str(FILE), str(android), "--json"], capture_output=True
    )
    assert (done.returncode, done.stderr) == (1, b"")
    (android / "manifest.json").write_bytes(b"[" * 100_000)
    assert (
        subprocess.run([found, "-I", str(FILE), str(android)], capture_output=True).returncode == 2
    )
