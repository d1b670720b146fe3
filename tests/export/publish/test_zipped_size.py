"""What a file adds to a download."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from export.publish.zipped_size import zipped_bytes


def zipped_by_hand(path: Path, archive: Path) -> int:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as content:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                content.write(file, file.relative_to(path.parent))
    return archive.stat().st_size


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "m.mlpackage"
    (folder / "Data").mkdir(parents=True)
    (folder / "Data" / "weight.bin").write_bytes(np.random.default_rng(0).bytes(9_000))
    (folder / "Manifest.json").write_text("{}" * 500)
    return folder


def test_it_is_the_size_of_a_zip_archive(package: Path, tmp_path: Path) -> None:
    assert zipped_bytes(package) == zipped_by_hand(package, tmp_path / "by_hand.zip")
    file = package / "Manifest.json"
    assert zipped_bytes(file) == zipped_by_hand(file, tmp_path / "of_a_file.zip")


def test_the_same_files_elsewhere_are_not_deflated_again(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = zipped_bytes(package)
    monkeypatch.setattr("export.publish.zipped_size.zipfile.ZipFile", None)
    elsewhere = tmp_path / "ios_assets" / package.name
    package.rename(package.parent / "moved")
    elsewhere.parent.mkdir()
    (package.parent / "moved").rename(elsewhere)
    assert zipped_bytes(elsewhere) == first


@pytest.mark.parametrize("change", ["content", "name", "one more"])
def test_what_was_changed_is_measured_again(package: Path, tmp_path: Path, change: str) -> None:
    zipped_bytes(package)
    if change == "content":
        (package / "Data" / "weight.bin").write_bytes(bytes(9_000))
    elif change == "name":
        (package / "Manifest.json").rename(package / "Manifest of a much longer name.json")
    else:
        (package / "more.bin").write_bytes(np.random.default_rng(1).bytes(500))
    assert zipped_bytes(package) == zipped_by_hand(package, tmp_path / "by_hand.zip")
