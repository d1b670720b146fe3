"""Folders as systems leave them: other spellings, hidden copies, files that are not read."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from pipeline.data.dataset import Dataset, read_dataset
from pipeline.errors import BadInput
from tests.pipeline.data.drawn_data import draw

JUNK = b"\0\5\x16\7" + bytes(200)  # AppleDouble


def classes(root: Path, labels: tuple[str, ...] = ("cat", "dog"), count: int = 8) -> Path:
    draw(root, *(f"{label}/{i}.png" for label in labels for i in range(count)))
    return root


def split(root: Path, labels: tuple[str, ...] = ("cat", "dog"), names: str = "train valid") -> Path:
    for name in names.split():
        classes(root / name, labels, 4)
    return root


def all_of(dataset: Dataset) -> list[str]:
    return sorted(sample.file for sample in (*dataset.train, *dataset.valid))


# --- hidden


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", ".thumbnails", "@eaDir", "__MACOSX", "#recycle"]
)
@pytest.mark.parametrize("where", ["cat", "cat/deeper", "."])
def test_hidden_folders_are_left_out_at_every_level_and_counted(
    tmp_path: Path, name: str, where: str
) -> None:
    root = classes(tmp_path / "pets")
    plain = all_of(read_dataset(root))
    draw(root / where / name / "within", *(f"{i}.png" for i in range(8)))
    dataset = read_dataset(root)
    assert all_of(dataset) == plain
    place = (Path(where) / name).as_posix()
    assert dataset.notes == (f"left out: 8 images in {place} (hidden)",)


def test_hidden_files_are_left_out_and_counted(tmp_path: Path) -> None:
    root = classes(tmp_path / "pets")
    (root / "cat" / "._0.png").write_bytes(JUNK)
    (root / "cat" / ".DS_Store").write_bytes(JUNK)
    dataset = read_dataset(root)
    assert len(all_of(dataset)) == 16
    assert dataset.notes == ("left out: 1 image in cat (hidden)",)


# --- not read


def test_files_that_are_not_read_are_counted_by_suffix_and_label(tmp_path: Path) -> None:
    root = split(tmp_path / "pets")
    for i in range(20):
        (root / "train" / "cat" / f"photo{i}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "valid" / "dog" / "note").write_bytes(b"x")
    (root / "valid" / "cat" / "deeper").mkdir()
    (root / "valid" / "cat" / "deeper" / "a.heic").write_bytes(b"x")
    assert read_dataset(root).notes == (
        "left out: 20 .HEIC in train/cat (not read here)",
        "left out: 1 .heic in valid/cat (not read here)",
        "left out: 1 without a suffix in valid/dog (not read here)",
    )


def test_many_labels_with_such_files_give_one_line(tmp_path: Path) -> None:
    root = classes(tmp_path / "many", tuple(f"label{i}" for i in range(6)))
    for folder in root.iterdir():
        (folder / "boxes.xml").write_text("<x/>")
    assert read_dataset(root).notes == ("left out: 6 .xml in 6 folders (not read here)",)


def test_images_beside_the_folders_of_labels_are_counted(tmp_path: Path) -> None:
    root = classes(tmp_path / "pets")
    draw(root, "a.png", "b.png")
    (root / "README.md").write_text("about them")
    assert read_dataset(root).notes == (
        "left out: 2 images beside the folders of labels (not read here)",
    )


def test_what_was_left_out_is_in_the_message_if_nothing_else_is_there(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.heic").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"no labelled images.*left out: 2 \.heic in cat, in dog"):
        read_dataset(tmp_path)


def test_links_to_folders_are_counted(tmp_path: Path) -> None:
    root = classes(tmp_path / "pets")
    draw(tmp_path / "elsewhere", "9.png")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    dataset = read_dataset(root)
    assert len(all_of(dataset)) == 16
    assert dataset.notes == ("left out: 1 link to folders in cat (not read here)",)


def test_a_folder_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = classes(tmp_path / "pets")
    scandir = os.scandir

    def denied(place: str | Path) -> object:
        if str(place) == str(root / "cat"):  # pytest itself gives open folders, too
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(BadInput, match="cat cannot be read: Permission denied"):
        read_dataset(root)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JFIF"])
def test_other_suffixes_of_jpeg_are_read(tmp_path: Path, suffix: str) -> None:
    root = classes(tmp_path / "pets")
    for i in range(6):
        (root / "cat" / f"{i}.png").rename(root / "cat" / f"{i}{suffix}")
    dataset = read_dataset(root)
    assert len(all_of(dataset)) == 16
    assert dataset.notes == ()


# --- splits


@pytest.mark.parametrize(
    "names",
    [
        "Train Valid",
        "TRAIN VAL",
        "training validation",
        "train val",
        "train valid",
        "Training test",
    ],
)
def test_the_splits_may_be_spelled_otherwise(tmp_path: Path, names: str) -> None:
    dataset = read_dataset(split(tmp_path / "pets", names=names))
    assert dataset.labels == ("cat", "dog")
    assert (len(dataset.train), len(dataset.valid)) == (8, 8)
    assert {sample.file.split("/")[0] for sample in dataset.train} == {names.split()[0]}
    assert dataset.split_rule == "by folder"


def test_test_images_are_for_later_if_there_are_valid_ones(tmp_path: Path) -> None:
    dataset = read_dataset(split(tmp_path / "pets", names="train val test"))
    assert (len(dataset.train), len(dataset.valid)) == (8, 8)
    assert dataset.notes == ("left out: 8 images of test, beside train and valid",)


def test_test_images_are_valid_if_there_are_no_others(tmp_path: Path) -> None:
    dataset = read_dataset(split(tmp_path / "pets", names="train Test"))
    assert [sample.file.split("/")[0] for sample in dataset.valid] == ["Test"] * 8
    (note,) = dataset.notes
    assert note == "no images are called valid: the 8 called test are taken for that"


def test_a_label_may_be_called_test(tmp_path: Path) -> None:
    assert read_dataset(classes(tmp_path / "x", ("control", "test"))).labels == ("control", "test")


def test_two_folders_for_one_split_are_refused(tmp_path: Path) -> None:
    root = split(tmp_path / "pets", names="train val validation")
    with pytest.raises(BadInput, match="val/ and validation/ both stand for valid"):
        read_dataset(root)


def test_what_lies_beside_train_and_valid_is_named_and_counted(tmp_path: Path) -> None:
    root = classes(split(tmp_path / "pets") / "extra", ("cat",)).parent
    (root / "papers").mkdir()
    (root / "papers" / "a.pdf").write_bytes(b"%PDF")
    assert read_dataset(root).notes == ("left out: 8 images in extra (beside train and valid)",)


# --- labels


def test_a_label_in_two_forms_of_unicode_is_one(tmp_path: Path) -> None:
    root = split(tmp_path / "x", ("café", "dog"))
    other = unicodedata.normalize("NFD", "café")
    assert other != "café"
    (root / "valid" / "café").rename(root / "valid" / other)
    dataset = read_dataset(root)
    assert dataset.labels == ("café", "dog")
    assert all(sample.path.is_file() for sample in dataset.valid)


def test_a_blank_after_a_label_is_not_part_of_it(tmp_path: Path) -> None:
    root = split(tmp_path / "x")
    (root / "valid" / "cat").rename(root / "valid" / "cat ")
    dataset = read_dataset(root)
    assert dataset.labels == ("cat", "dog")
    assert all(sample.path.is_file() for sample in dataset.valid)


def test_labels_of_one_side_are_refused_with_both_sides_lists(tmp_path: Path) -> None:
    root = split(tmp_path / "x", ("Ripe", "raw"))
    (root / "valid" / "Ripe").rename(root / "valid" / "ripe")
    words = (
        "no train image has the label ripe; train has 'Ripe', 'raw'; valid has 'raw', 'ripe'; "
        "'Ripe' and 'ripe' differ in capitals only: give them one spelling"
    )
    with pytest.raises(BadInput, match=words):
        read_dataset(root)
    (root / "valid" / "ripe").rename(root / "valid" / "mature")
    with pytest.raises(BadInput, match=r"valid has 'mature', 'raw'$"):
        read_dataset(root)


def test_labels_that_differ_in_capitals_on_both_sides_are_two(tmp_path: Path) -> None:
    assert read_dataset(split(tmp_path / "letters", ("A", "a"))).labels == ("A", "a")


def test_a_list_of_many_labels_is_cut_short(tmp_path: Path) -> None:
    root = split(tmp_path / "x", tuple(f"l{i:02}" for i in range(40)))
    shutil.rmtree(root / "valid")
    classes(root / "valid", ("l00",), 4)
    with pytest.raises(BadInput) as caught:
        read_dataset(root)
    assert "l10 (39 labels); train has 'l00'" in str(caught.value)
    assert "'l09' and 30 more; valid has 'l00'" in str(caught.value)


@pytest.mark.parametrize("where", ["label", "file"])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, where: str) -> None:
    root = os.fsencode(classes(tmp_path / "x"))
    if where == "label":
        os.rename(root + b"/dog", root + b"/d\xffg")  # noqa: PTH104
    else:
        os.rename(root + b"/dog/0.png", root + b"/dog/\xff.png")  # noqa: PTH104
    with pytest.raises(BadInput, match=r"\\xff.*is not UTF-8, so it cannot be written down"):
        read_dataset(tmp_path / "x")


@pytest.mark.parametrize("label", ["one\u2028two", "one\ntwo", "one\x1b[31m", "a\u2029b"])
def test_a_label_with_a_line_break_or_a_control_character_is_refused(
    tmp_path: Path, label: str
) -> None:
    classes(tmp_path / "x", ("cat", label))
    with pytest.raises(BadInput, match="control character; rename it"):
        read_dataset(tmp_path / "x")


def test_a_label_of_blanks_is_refused(tmp_path: Path) -> None:
    classes(tmp_path / "x", ("cat", "  "))
    with pytest.raises(BadInput, match="is blank"):
        read_dataset(tmp_path / "x")


def test_an_older_spelling_of_the_labels_is_kept(tmp_path: Path) -> None:
    dataset = read_dataset(split(tmp_path / "x", ("café", "dog")))
    older = (unicodedata.normalize("NFD", "café"), "dog")
    spelled = dataset.spelled_as(older)
    assert spelled is not None
    assert spelled.labels == older
    assert {sample.label for sample in spelled.train} == {*older}
    assert dataset.spelled_as(("café", "dog")) is dataset
    assert dataset.spelled_as(("dog", "cafe")) is None
    assert dataset.spelled_as(("café", "dog", "dog ")) is None


def test_the_order_of_a_checkpoints_labels_is_kept(tmp_path: Path) -> None:
    dataset = read_dataset(split(tmp_path / "x"))
    other = dataset.spelled_as(("dog", "cat"))
    assert other is not None
    assert other.labels == ("dog", "cat")
    assert (other.train, other.valid) == (dataset.train, dataset.valid)
