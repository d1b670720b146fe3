from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.predict.image_files import image_files, paths_of, places_below


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_folder_is_searched_in_any_depth_without_what_is_hidden_or_no_image(
    tmp_path: Path,
) -> None:
    copies = ("@eaDir/b.JPG/thumb.jpg", "__MACOSX/a/é.png")  # of a device and of a system
    touch(tmp_path, "b.JPG", "a/é.png", ".hidden/c.png", "a/._é.png", "notes.txt", *copies)
    assert image_files([tmp_path]) == [tmp_path / "a/é.png", tmp_path / "b.JPG"]


def test_a_file_that_is_named_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "photo")
    assert image_files([tmp_path / "photo"]) == [tmp_path / "photo"]


def test_an_image_that_is_given_twice_is_asked_about_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    assert image_files([tmp_path / "a.png", tmp_path]) == [tmp_path / "a.png"]


def test_a_hidden_folder_that_is_named_itself_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, ".mine/a.png")
    assert image_files([tmp_path / ".mine"]) == [tmp_path / ".mine/a.png"]


def test_what_holds_no_image_or_is_not_there_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "empty/notes.txt")
    os.mkfifo(tmp_path / "pipe.png")
    for place, message in (
        (tmp_path / "empty", "holds no image file"),
        (tmp_path / "nowhere.png", "does not exist"),
        (tmp_path / "pipe.png", "neither a file nor a folder"),
        (tmp_path / ("n" * 300), "cannot be read"),
    ):
        with pytest.raises(BadInput, match=message):
            image_files([place])
    with pytest.raises(BadInput, match="no image is given"):
        image_files([])


def test_places_keep_files_of_one_name_apart(tmp_path: Path) -> None:
    files = [tmp_path / "x/a.png", tmp_path / "y/a.png", tmp_path / "y/a.jpg"]
    found = places_below(Path("maps"), files, ".heat.png")
    assert [path.as_posix() for path in found.values()] == [
        "maps/x/a.png.heat.png",
        "maps/y/a.png.heat.png",
        "maps/y/a.jpg.heat.png",
    ]


def test_no_place_leaves_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "x/a.png", "b.png")
    (tmp_path / "y").mkdir()
    monkeypatch.chdir(tmp_path / "y")
    found = places_below(Path("maps"), [Path("../x/a.png"), Path("../b.png")])
    assert [path.as_posix() for path in found.values()] == ["maps/x/a.png", "maps/b.png"]


def test_one_place_may_be_given_as_text_a_path_or_in_a_list() -> None:
    assert paths_of("a") == paths_of(Path("a")) == paths_of(["a"]) == [Path("a")]
