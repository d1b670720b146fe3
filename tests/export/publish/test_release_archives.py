from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from export.cli import main as cli
from export.publish.assets import FOLDERS
from export.publish.release_archives import SUMS_FILE, archive_assets
from export.verify import verify
from pipeline.errors import BadInput
from tests.export.conftest import tree
from tests.export.made_assets import edit_manifest, write_assets

ANDROID, IOS, WEB = (f"tiny-1.2.3-{platform}.zip" for platform in ("android", "ios", "web"))


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    write_assets(tmp_path / "assets")
    return tmp_path / "assets"


def test_an_archive_unpacks_to_the_folder_as_it_was(assets: Path, tmp_path: Path) -> None:
    paths = archive_assets(assets, tmp_path / "dist")
    assert [path.name for path in paths] == [ANDROID, IOS, WEB, SUMS_FILE]
    for name, folder in zip((ANDROID, IOS, WEB), FOLDERS.values(), strict=True):
        with zipfile.ZipFile(tmp_path / "dist" / name) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path / "out")
        assert tree(tmp_path / "out" / folder) == tree(assets / folder)
        assert verify(tmp_path / "out" / folder).differences == ()


def test_the_sums_are_those_that_sha256sum_checks(assets: Path, tmp_path: Path) -> None:
    archive_assets(assets, tmp_path / "dist")
    command = ["sha256sum", "--check", "--strict", SUMS_FILE]
    done = subprocess.run(command, cwd=tmp_path / "dist", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{ANDROID}: OK\n{IOS}: OK\n{WEB}: OK\n")


def test_the_same_folders_give_the_same_bytes_again(assets: Path, tmp_path: Path) -> None:
    """For any location, time and permission of the files."""
    archive_assets(assets, tmp_path / "first")
    other = tmp_path / "elsewhere"
    shutil.copytree(assets, other)
    for file in other.rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
        if file.is_file():
            file.chmod(0o600)
    archive_assets(other, tmp_path / "second")
    assert tree(tmp_path / "first") == tree(tmp_path / "second")
    archive_assets(other, tmp_path / "first")  # the same again replaces nothing


def test_what_was_published_once_is_not_replaced(assets: Path, tmp_path: Path) -> None:
    archive_assets(assets, tmp_path / "dist")
    before = tree(tmp_path / "dist")
    other = tmp_path / "other"
    write_assets(other, seed=1)
    with pytest.raises(BadInput, match="exists with other content; a published archive"):
        archive_assets(other, tmp_path / "dist")
    assert tree(tmp_path / "dist") == before


@pytest.mark.parametrize("name", ["tiny_w4.onnx", "labels.txt", "manifest.json.sha256"])
def test_a_folder_that_is_not_as_its_manifest_says_is_not_archived(
    name: str, assets: Path, tmp_path: Path
) -> None:
    (assets / "android_assets" / name).write_bytes(b"other")
    with pytest.raises(BadInput, match=rf"android_assets is not as.*{name}.*export verify"):
        archive_assets(assets, tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_what_builds_leave_in_a_folder_is_not_archived(assets: Path, tmp_path: Path) -> None:
    (assets / "ios_assets" / ".build").mkdir()
    (assets / "ios_assets" / ".build" / "cache").touch()
    (assets / "ios_assets" / ".DS_Store").touch()
    archive_assets(assets, tmp_path / "dist")
    with zipfile.ZipFile(tmp_path / "dist" / IOS) as archive:
        names = archive.namelist()
    assert "ios_assets/README.md" in names
    assert [name for name in names if ".build" in name or ".DS_Store" in name] == []


def test_a_tag_must_be_the_version_of_the_assets(assets: Path, tmp_path: Path) -> None:
    archive_assets(assets, tmp_path / "dist", "v1.2.3")
    for tag in ("v1.2.4", "1.2.3", ""):
        with pytest.raises(BadInput, match=rf"tag {tag} is not v1\.2\.3"):
            archive_assets(assets, tmp_path / "other", tag)
    assert not (tmp_path / "other").exists()


def test_folders_of_two_versions_are_refused(assets: Path, tmp_path: Path) -> None:
    edit_manifest(assets / "ios_assets", lambda document: document["model"].update(version="1.2.4"))
    with pytest.raises(BadInput, match=r"several versions: 1\.2\.3, 1\.2\.4"):
        archive_assets(assets, tmp_path / "dist")


def test_the_command_lists_what_it_wrote_and_exits_2_where_it_cannot(
    assets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["archive", "--assets", str(assets), "--out", str(tmp_path / "dist")]
    assert cli.main(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert cli.main([*command, "--tag", "v9"]) == 2
    assert capsys.readouterr().err.startswith("error: tag v9 is not v1.2.3")
    assert cli.main(["archive", "--assets", str(tmp_path / "nowhere")]) == 2
