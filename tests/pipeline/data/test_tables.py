"""Tables as spreadsheets and other programs write them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput
from tests.pipeline.data.drawn_data import draw, files, write_table

TAB = "\t"
NAMES = [f"{label}{i}" for label in ("cat", "dog") for i in range(8)]


def table(root: Path, text: str, encoding: str = "utf-8") -> Path:
    draw(root, *(f"images/{name}.png" for name in NAMES))
    (root / "t.csv").write_bytes(text.encode(encoding))
    return root / "t.csv"


def rows(slash: str = "/", comma: str = ",", last: str = "") -> str:
    return "\n".join(f"images{slash}{name}.png{comma}{name[:3]}{last}" for name in NAMES)


@pytest.mark.parametrize(
    ("text", "encoding", "note"),
    [
        (f"file;label\n{rows(comma=';')}", "utf-8", "semicolons between columns"),
        (f"file\tlabel\n{rows(comma=TAB)}", "utf-8", "tabs between columns"),
        (f"file,label\n{rows()}", "utf-16", "UTF-16 as its encoding"),
        (f"file,label\n{rows()}", "utf-16-le", "UTF-16 as its encoding"),
        (f"file,label\n{rows()}", "utf-16-be", "UTF-16 as its encoding"),
        (f"file\tlabel\n{rows(comma=TAB)}", "utf-16", "UTF-16 as its encoding, tabs between"),
        (f"file,label\n{rows(slash=chr(92))}", "utf-8", "backslashes in file names"),
        (f"File,LABEL\n{rows()}", "utf-8", ""),
        (f"file, label\n{rows(comma=', ')}", "utf-8", ""),
        (f"\ufefffile,label\n{rows()}", "utf-8", ""),
        (f"file,label,width\n{rows(last=',100')}", "utf-8", ""),
        (f"file,label\r\n{rows()}", "utf-8", ""),
        (f'"file","label"\n{rows()}', "utf-8", ""),
        (f"file,label,note\n{rows(last=',x;y')}", "utf-8", ""),
    ],
)
def test_a_table_is_read_however_it_is_written_and_it_is_said(
    tmp_path: Path, text: str, encoding: str, note: str
) -> None:
    dataset = read_dataset(table(tmp_path / "x", text, encoding))
    assert dataset.labels == ("cat", "dog")
    assert sorted(files([*dataset.train, *dataset.valid])) == [f"images/{n}.png" for n in NAMES]
    notes = " ".join(dataset.notes)
    assert notes.startswith(f"t.csv is read with {note}") if note else not notes


def test_the_same_table_in_another_form_is_split_alike(tmp_path: Path) -> None:
    plain = read_dataset(table(tmp_path / "x", f"file,label\n{rows()}"))
    other = read_dataset(table(tmp_path / "y", f"file;label\n{rows(chr(92), ';')}", "utf-16"))
    assert files(plain.valid) == files(other.valid)


def test_a_table_with_none_of_these_is_refused_with_its_columns(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no column file and label; its columns are file\|lab"):
        read_dataset(table(tmp_path / "x", "file|label\n" + rows(comma="|")))


def test_the_columns_of_a_refused_table_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no column file and label; its columns are path, class$"):
        read_dataset(table(tmp_path / "x", "path;class\n" + rows(comma=";")))
    with pytest.raises(BadInput, match=r"its columns are none$"):
        read_dataset(table(tmp_path / "y", ""))


def test_a_table_of_an_old_encoding_is_refused_with_its_line_and_the_way_out(
    tmp_path: Path,
) -> None:
    words = r"not a CSV table in UTF-8 \(line 18 has the byte 0xe9\); save it as CSV UTF-8"
    with pytest.raises(BadInput, match=words):
        read_dataset(table(tmp_path / "x", f"file,label\n{rows()}\né.png,cat", "cp1252"))


def test_a_name_that_no_system_takes_does_not_exist(tmp_path: Path) -> None:
    long = "x" * 300
    with pytest.raises(BadInput, match=r"line 2: x+\.png does not exist next to the table"):
        read_dataset(table(tmp_path / "x", f"file,label\n{long}.png,cat"))
    for name in (f"{long}.csv", "a\0.csv"):
        with pytest.raises(BadInput, match="does not exist; give a folder"):
            read_dataset(tmp_path / name)


@pytest.mark.parametrize("header", ["file,label,label", "file,label, Label", "file,File,label"])
def test_a_column_given_twice_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(BadInput, match=r"has the column (label|file) twice; keep one of them"):
        read_dataset(table(tmp_path / "x", f"{header}\n{rows(last=',x')}"))


def test_columns_without_a_name_may_be_many(tmp_path: Path) -> None:
    read_dataset(table(tmp_path / "x", f"file,label,,\n{rows(last=',,')}"))


# --- rows that contradict or repeat each other


def test_a_file_with_two_labels_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = f"file,label\n{rows()}\nimages/cat3.png,dog"
    words = r"images/cat3\.png has the labels 'cat' \(line 5\) and 'dog' \(line 18\)"
    with pytest.raises(BadInput, match=words):
        read_dataset(table(tmp_path / "x", text))


def test_a_file_in_both_splits_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = f"file,label,split\n{rows(last=',train')}\n./images/cat0.png,cat,valid"
    words = r"images/cat0\.png is in train \(line 2\) and in valid \(line 18\)"
    with pytest.raises(BadInput, match=words):
        read_dataset(table(tmp_path / "x", text))


def test_a_row_that_repeats_another_counts_once_and_is_said(tmp_path: Path) -> None:
    splits = ["valid" if int(name[3:]) > 5 else "train" for name in NAMES]
    lines = [
        f"images/{name}.png,{name[:3]},{split}" for name, split in zip(NAMES, splits, strict=True)
    ]
    text = "\n".join(["file,label,split", *lines, *["images/cat7.png,cat,valid"] * 30])
    dataset = read_dataset(table(tmp_path / "x", text))
    assert (len(dataset.train), len(dataset.valid)) == (12, 4)
    assert dataset.notes == ("t.csv: 30 rows repeat others; each image counts once",)


def test_a_repeated_row_of_a_table_without_a_split_is_not_on_both_sides(tmp_path: Path) -> None:
    dataset = read_dataset(table(tmp_path / "x", f"file,label\n{rows()}\n{rows()}"))
    assert len(dataset.train) + len(dataset.valid) == 16


# --- words and names


def test_words_for_the_splits_may_be_spelled_otherwise(tmp_path: Path) -> None:
    rows_ = [("1.png", "a", "Training"), ("2.png", "b", "TRAIN"), ("3.png", "a", " val")]
    rows_ += [("4.png", "b", "Validation"), ("5.png", "b", "test")]
    dataset = read_dataset(write_table(tmp_path / "t", ("file", "label", "split"), rows_))
    assert files(dataset.train) == ["1.png", "2.png"]
    assert files(dataset.valid) == ["3.png", "4.png"]
    assert dataset.notes == ("left out: 1 images of test, beside train and valid",)


def test_labels_are_taken_without_blanks_and_in_one_form(tmp_path: Path) -> None:
    forms = ["café", unicodedata.normalize("NFD", "café"), " café", "café "]
    rows_ = [(f"a{i}.png", forms[i % 4]) for i in range(8)]
    rows_ += [(f"b{i}.png", "dog") for i in range(8)]
    dataset = read_dataset(write_table(tmp_path / "t", ("file", "label"), rows_))
    assert dataset.labels == ("café", "dog")


def test_a_file_name_in_another_form_than_on_the_disk_is_found(tmp_path: Path) -> None:
    on_disk = unicodedata.normalize("NFD", "é.png")
    draw(tmp_path, on_disk, *(f"{i}.png" for i in range(15)))
    lines = [f"{i}.png,{'ab'[i % 2]}" for i in range(15)]
    (tmp_path / "t.csv").write_text("\n".join(["file,label", "é.png,b", *lines]), encoding="utf-8")
    dataset = read_dataset(tmp_path / "t.csv")
    assert on_disk in files([*dataset.train, *dataset.valid])


def test_a_label_with_a_control_character_is_refused_with_its_line(tmp_path: Path) -> None:
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text("file,label\n1.png,a\n1.png,b\x07\n")
    with pytest.raises(BadInput, match=r"line 3: the label 'b\\x07' has a line break or another"):
        read_dataset(tmp_path / "t.csv")


# --- few patients


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fewer_patients_than_parts_give_fewer_parts(tmp_path: Path) -> None:
    rows_ = [(f"{label}{i}.png", label, f"p{i % 3}") for label in "ab" for i in range(8)]
    dataset = read_dataset(write_table(tmp_path / "t", ("file", "label", "patient"), rows_))
    train, valid = ({s.patient for s in side} for side in (dataset.train, dataset.valid))
    assert not train & valid
    assert train | valid == {"p0", "p1", "p2"}
    assert dataset.split_rule == "at random by patient, 1 of 3 valid, seed 2"


def test_one_patient_alone_cannot_be_split(tmp_path: Path) -> None:
    rows_ = [(f"{label}{i}.png", label, "p") for label in "ab" for i in range(8)]
    with pytest.raises(BadInput, match="too few patients"):
        read_dataset(write_table(tmp_path / "t", ("file", "label", "patient"), rows_))
