from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.data.dataset import Dataset, Sample, read_dataset, split_at_random
from pipeline.errors import BadInput
from tests.conftest import LABELS, write_images
from tests.pipeline.data.drawn_data import draw, files, write_table


def both_sides(dataset: Dataset) -> tuple[set[str | None], set[str | None]]:
    return {s.patient for s in dataset.train}, {s.patient for s in dataset.valid}


@pytest.fixture
def flat_folder(tmp_path: Path) -> Path:
    """A data set without a split: 24 images of one label and 16 of the other."""
    root = tmp_path / "flat"
    write_images(root, "covid19", 16)
    write_images(root, "non_covid19", 24)
    return root


def patient_rows(images_each: int = 3) -> list[tuple[str, str, str]]:
    """Forty patients, half of each label, some images of each."""
    return [
        (f"{label}-{patient}-{view}.png", label, f"{label}-{patient}")
        for label in ("a", "b")
        for patient in range(20)
        for view in range(images_each)
    ]


# --- folders


def test_a_folder_with_both_splits_is_taken_as_it_is(image_folder):
    dataset = read_dataset(image_folder)
    assert dataset.name == "xrays"
    assert dataset.labels == LABELS
    assert dataset.counts() == {
        "train": dict.fromkeys(LABELS, 12),
        "valid": dict.fromkeys(LABELS, 6),
    }
    assert dataset.split_rule == "by folder"
    assert dataset.train[0].file == "train/covid19/covid19-000.jpg"
    assert dataset.train[0].path == image_folder / "train/covid19/covid19-000.jpg"
    assert dataset.train[0].label == "covid19"
    assert all(sample.file.startswith("valid/") for sample in dataset.valid)


def test_labels_are_sorted_whatever_the_order_of_the_files(tmp_path):
    rows = [(f"{label}{i}.png", label) for i in range(8) for label in ("zebra", "ant", "Bear")]
    dataset = read_dataset(write_table(tmp_path / "t", ("file", "label"), rows))
    assert dataset.labels == ("Bear", "ant", "zebra")


def test_images_in_folders_below_a_label_belong_to_it(image_folder):
    draw(image_folder, "train/covid19/hospital/ward/x.png")
    dataset = read_dataset(image_folder)
    (found,) = [s for s in dataset.train if s.file.endswith("x.png")]
    assert (found.file, found.label) == ("train/covid19/hospital/ward/x.png", "covid19")


def test_other_files_and_hidden_folders_are_passed_over(image_folder):
    (image_folder / "train" / "covid19" / "notes.txt").write_text("not an image")
    (image_folder / "train" / "README.md").write_text("not a label")
    draw(image_folder, "train/.thumbnails/x.png")
    dataset = read_dataset(image_folder)
    assert dataset.labels == LABELS
    assert len(dataset.train) == 24


def test_suffixes_are_read_in_any_case(image_folder):
    draw(image_folder, "train/covid19/x.PNG")
    assert "train/covid19/x.PNG" in files(read_dataset(image_folder).train)


def test_a_missing_place_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere does not exist"):
        read_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize("folders", [(), ("train", "valid"), ("covid19", "non_covid19")])
def test_a_place_without_images_is_refused(tmp_path, folders):
    for folder in folders:
        (tmp_path / folder).mkdir()
    with pytest.raises(BadInput, match="holds no labelled images"):
        read_dataset(tmp_path)


def test_images_without_a_label_folder_are_refused(tmp_path):
    draw(tmp_path, "a.png", "b.png")
    with pytest.raises(BadInput, match="holds no labelled images"):
        read_dataset(tmp_path)


def test_one_label_only_is_refused(tmp_path):
    write_images(tmp_path, "covid19", 8)
    with pytest.raises(BadInput, match=r"one label only \(covid19\)"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_one_split_only_is_refused(image_folder, split):
    shutil.rmtree(image_folder / split)
    kept = {"train": "valid", "valid": "train"}[split]
    with pytest.raises(BadInput, match=f"has {kept}/ only"):
        read_dataset(image_folder)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_label_that_one_split_lacks_is_refused(image_folder, split):
    shutil.rmtree(image_folder / split / "covid19")
    with pytest.raises(BadInput, match=f"no {split} image has the label covid19"):
        read_dataset(image_folder)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "xrays.zip").write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"xrays\.zip is neither a folder nor a \.csv table"):
        read_dataset(tmp_path / "xrays.zip")


# --- tables


def test_a_table_with_a_split_is_taken_as_it_is(tmp_path):
    rows = [
        ("a/1.png", "a", "train", "p1", "x"),
        ("b/1.png", "b", "train", "p2", ""),
        ("a/2.png", "a", "valid", "p3", "x"),
        ("b/2.png", "b", "valid", "", "y"),
    ]
    table = write_table(
        tmp_path / "Chest X-rays", ("file", "label", "split", "patient", "source"), rows
    )
    dataset = read_dataset(table)
    root = table.parent
    assert dataset.train == (
        Sample(root / "a/1.png", "a/1.png", "a", "p1", "x"),
        Sample(root / "b/1.png", "b/1.png", "b", "p2", None),
    )
    assert dataset.valid == (
        Sample(root / "a/2.png", "a/2.png", "a", "p3", "x"),
        Sample(root / "b/2.png", "b/2.png", "b", None, "y"),
    )
    assert dataset.split_rule == "by table, no patient in both"
    assert dataset.name == "chest_x_rays"


def test_a_data_set_is_named_by_its_table(tmp_path):
    rows = [(f"{label}{i}.png", label) for label in "ab" for i in range(4)]
    table = write_table(tmp_path / "t", ("file", "label"), rows)
    assert read_dataset(table.rename(table.with_name("My X-rays (2).csv"))).name == "my_x_rays_2"


def test_a_table_as_excel_writes_it_is_read(tmp_path):
    rows = [(f"{label}{i}.png", label) for label in "ab" for i in range(4)]
    table = write_table(tmp_path / "t", ("file", "label"), rows)
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert len(read_dataset(table).train) == 6


@pytest.mark.parametrize(
    ("header", "missing"),
    [("path,class", "file and label"), ("file,class", "label"), ("label", "file"), ("", "file")],
)
def test_a_table_without_its_columns_is_refused(tmp_path, header, missing):
    (tmp_path / "t.csv").write_text(f"{header}\nx.png,a\n")
    with pytest.raises(BadInput, match=rf"has no column {missing}") as caught:
        read_dataset(tmp_path / "t.csv")
    assert header.replace(",", ", ") in str(caught.value)


def test_an_empty_table_and_a_header_alone_are_refused(tmp_path):
    table = tmp_path / "t.csv"
    for text, message in (("", "no column"), ("file,label\n", "holds no labelled images")):
        table.write_text(text)
        with pytest.raises(BadInput, match=message):
            read_dataset(table)


def test_a_table_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes("file,label\nä.png,a\n".encode("latin1"))
    with pytest.raises(BadInput, match=r"t\.csv is not a CSV table in UTF-8"):
        read_dataset(tmp_path / "t.csv")


def test_an_image_that_does_not_exist_is_refused_with_its_line(tmp_path):
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text("file,label\n1.png,a\nlost.png,b\n")
    with pytest.raises(BadInput, match=r"line 3: lost\.png does not exist"):
        read_dataset(tmp_path / "t.csv")


@pytest.mark.parametrize("row", [",a", "1.png,", "1.png"])
def test_an_empty_file_or_label_is_refused_with_its_line(tmp_path, row):
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text(f"file,label\n1.png,a\n{row}\n")
    with pytest.raises(BadInput, match="line 3: file and label must not be empty"):
        read_dataset(tmp_path / "t.csv")


@pytest.mark.parametrize("word", ["dev", "trn", "", "valid 1"])
def test_a_split_with_another_word_is_refused_with_its_line(tmp_path, word):
    rows = [("1.png", "a", "train"), ("2.png", "b", word), ("3.png", "b", "valid")]
    table = write_table(tmp_path / "t", ("file", "label", "split"), rows)
    with pytest.raises(BadInput, match=rf"line 3: split is '{word}', not train or valid"):
        read_dataset(table)


def test_a_row_that_lacks_its_split_is_refused(tmp_path):
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text("file,label,split\n1.png,a\n")
    with pytest.raises(BadInput, match="line 2: split is None"):
        read_dataset(tmp_path / "t.csv")


def test_a_table_with_one_label_only_is_refused(tmp_path):
    rows = [(f"{i}.png", "a") for i in range(8)]
    with pytest.raises(BadInput, match=r"one label only \(a\)"):
        read_dataset(write_table(tmp_path / "t", ("file", "label"), rows))


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_table_whose_split_lacks_a_label_is_refused(tmp_path, split):
    rows = [("1.png", "a", "train"), ("2.png", "a", "valid"), ("3.png", "b", "train")]
    rows += [("4.png", "b", "valid")]
    kept = [row for row in rows if not (row[1] == "b" and row[2] == split)]
    with pytest.raises(BadInput, match=f"no {split} image has the label b"):
        read_dataset(write_table(tmp_path / "t", ("file", "label", "split"), kept))


def test_a_patient_in_both_splits_is_refused(tmp_path):
    rows = [
        ("1.png", "a", "train", "p1"),
        ("2.png", "b", "train", "p2"),
        ("3.png", "a", "valid", "p1"),
        ("4.png", "b", "valid", "p3"),
    ]
    columns = ("file", "label", "split", "patient")
    with pytest.raises(BadInput, match="patient p1 is in train and in valid;"):
        read_dataset(write_table(tmp_path / "t", columns, rows))
    rows.append(("5.png", "a", "valid", "p2"))
    with pytest.raises(BadInput, match=r"patient p1 is in train and in valid \(and 1 more\);"):
        read_dataset(write_table(tmp_path / "t", columns, rows))


def test_unknown_patients_are_not_one_patient(tmp_path):
    rows = [
        (f"{label}{split}.png", label, split, "") for label in "ab" for split in ("train", "valid")
    ]
    columns = ("file", "label", "split", "patient")
    assert len(read_dataset(write_table(tmp_path / "t", columns, rows)).train) == 2


@pytest.mark.parametrize("again", ["1.png", "./1.png"])
def test_an_image_in_both_splits_is_refused(tmp_path, again):
    rows = [
        ("1.png", "a", "train"),
        ("2.png", "b", "train"),
        (again, "a", "valid"),
        ("3.png", "b", "valid"),
    ]
    with pytest.raises(BadInput):
        read_dataset(write_table(tmp_path / "t", ("file", "label", "split"), rows))


def test_the_line_named_is_the_line_in_the_file(tmp_path):
    draw(tmp_path, "1.png")
    (tmp_path / "t.csv").write_text("file,label\n\n1.png,a\n\nlost.png,b\n")
    with pytest.raises(BadInput, match="line 5"):
        read_dataset(tmp_path / "t.csv")


# --- the seeded split


def test_a_quarter_of_every_label_becomes_valid(flat_folder):
    dataset = read_dataset(flat_folder)
    assert dataset.counts() == {
        "train": {"covid19": 12, "non_covid19": 18},
        "valid": {"covid19": 4, "non_covid19": 6},
    }
    assert dataset.split_rule == "at random by image, 1 of 4 valid, seed 2"
    assert not set(files(dataset.train)) & set(files(dataset.valid))


@pytest.mark.parametrize(("fraction", "valid"), [(0.5, 20), (0.25, 10), (0.125, 5)])
def test_the_share_that_is_valid_can_be_chosen(flat_folder, fraction, valid):
    assert len(read_dataset(flat_folder, valid_fraction=fraction).valid) == valid


@pytest.mark.parametrize("fraction", [0, 0.04, 0.51, 1, float("nan")])
def test_a_share_that_leaves_a_side_without_images_is_refused(flat_folder, fraction):
    with pytest.raises(BadInput, match="valid fraction"):
        read_dataset(flat_folder, valid_fraction=fraction)


def test_the_same_seed_gives_the_same_split_and_another_seed_another(flat_folder):
    first, again, other = (read_dataset(flat_folder, seed=seed) for seed in (2, 2, 3))
    assert first == again
    assert set(files(first.valid)) != set(files(other.valid))


def test_a_split_of_an_unsplit_table_is_the_same_wherever_it_lies(tmp_path):
    columns, rows = ("file", "label", "patient"), patient_rows()
    first = read_dataset(write_table(tmp_path / "here", columns, rows))
    again = read_dataset(write_table(tmp_path / "there", columns, rows))
    assert files(first.valid) == files(again.valid)


@pytest.mark.parametrize("seed", range(6))
def test_a_split_keeps_patients_whole_and_gives_both_sides_every_label(tmp_path, seed):
    table = write_table(tmp_path / "t", ("file", "label", "patient"), patient_rows())
    dataset = read_dataset(table, seed=seed)
    train, valid = both_sides(dataset)
    assert not train & valid
    assert len(train) + len(valid) == 40
    assert dataset.counts() == {"train": {"a": 45, "b": 45}, "valid": {"a": 15, "b": 15}}
    assert dataset.split_rule == f"at random by patient, 1 of 4 valid, seed {seed}"


def test_images_without_a_patient_may_be_split_one_by_one(tmp_path):
    rows = [
        (file, label, patient if label == "a" else "") for file, label, patient in patient_rows()
    ]
    dataset = read_dataset(write_table(tmp_path / "t", ("file", "label", "patient"), rows))
    train, valid = both_sides(dataset)
    assert train & valid == {None}


def test_a_label_with_too_few_images_for_both_sides_is_refused(tmp_path):
    write_images(tmp_path, "covid19", 1)
    write_images(tmp_path, "non_covid19", 24)
    with pytest.raises(BadInput, match="no valid image has the label covid19"):
        read_dataset(tmp_path)


def test_a_label_of_one_patient_is_refused(tmp_path):
    rows = [row for row in patient_rows() if row[1] == "a"]
    rows += [(f"b{i}.png", "b", "the only one") for i in range(12)]
    with pytest.raises(BadInput, match="too few patients"):
        read_dataset(write_table(tmp_path / "t", ("file", "label", "patient"), rows))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_three_patients_of_each_label_are_enough_for_a_split(tmp_path):
    rows = [(f"{label}{i}.png", label, f"{label}{i // 4}") for label in "ab" for i in range(12)]
    table = write_table(tmp_path / "t", ("file", "label", "patient"), rows)
    for seed in range(10):
        read_dataset(table, seed=seed)


def test_a_split_of_images_that_were_read_tells_which_are_on_both_sides(flat_folder):
    dataset = read_dataset(flat_folder)
    samples = [*dataset.train, *dataset.valid]
    read = [replace(sample, sha256=f"{i:064}") for i, sample in enumerate(samples)]
    assert split_at_random("x", read, 2, 0.25).split_rule == dataset.split_rule
    alike = [replace(sample, sha256=sample.label) for sample in samples]
    words = (
        "; 10 of 10 validation images are in train too (same bytes); "
        "8 of 10 validation images are copies of others of them"
    )
    assert split_at_random("x", alike, 2, 0.25).split_rule == dataset.split_rule + words


# --- groups of another name


def test_another_column_says_what_belongs_together(tmp_path):
    table = write_table(tmp_path / "t", ("file", "label", "scene"), patient_rows())
    dataset = read_dataset(table, group_column="scene")
    train, valid = both_sides(dataset)
    assert not train & valid
    assert len(train) + len(valid) == 40
    assert dataset.split_rule == "at random by scene, 1 of 4 valid, seed 2"
    assert dataset.facts()["group_column"] == "scene"


def test_a_column_that_is_not_named_groups_nothing(tmp_path):
    table = write_table(tmp_path / "t", ("file", "label", "scene"), patient_rows())
    dataset = read_dataset(table)
    assert both_sides(dataset) == ({None}, {None})
    assert dataset.split_rule.startswith("at random by image")
    assert "group_column" not in dataset.facts()


def test_the_column_patient_is_known_unasked_and_gives_way_to_a_named_one(tmp_path):
    rows = [(*row, row[2][:1]) for row in patient_rows()]
    table = write_table(tmp_path / "t", ("file", "label", "scene", "patient"), rows)
    assert read_dataset(table, group_column="scene").group_column == "scene"
    table = write_table(tmp_path / "p", ("file", "label", "patient"), patient_rows())
    assert read_dataset(table).group_column == "patient"
    assert "group_column" not in read_dataset(table).facts()  # as checkpoints were before


@pytest.mark.parametrize("column", ["scene", "device"])
def test_a_group_on_both_sides_is_refused_by_its_own_name(tmp_path, column):
    rows = [
        (f"{label}{i}.png", label, split, f"g{label}")
        for label in "ab"
        for i, split in enumerate(("train", "valid"))
    ]
    table = write_table(tmp_path / "t", ("file", "label", "split", column), rows)
    with pytest.raises(BadInput, match=f"{column} ga is in train and in valid .*and 1 more") as it:
        read_dataset(table, group_column=column)
    assert "patient" not in str(it.value)


def test_a_group_column_that_is_not_there_is_refused(tmp_path, image_folder):
    table = write_table(tmp_path / "t", ("file", "label"), [("a.png", "a"), ("b.png", "b")])
    with pytest.raises(BadInput, match="has no column scene; its columns are file, label"):
        read_dataset(table, group_column="scene")
    with pytest.raises(BadInput, match="is a folder, and folders do not say which scene"):
        read_dataset(image_folder, group_column="scene")


# --- the fingerprint


def test_the_fingerprint_does_not_depend_on_the_place(image_folder, tmp_path):
    before = read_dataset(image_folder).fingerprint()
    moved = shutil.copytree(image_folder, tmp_path / "elsewhere" / "renamed")
    assert read_dataset(moved).fingerprint() == before
    assert len(before) == 64


def test_the_fingerprint_changes_with_one_byte_of_an_image(image_folder):
    before = read_dataset(image_folder).fingerprint()
    path = image_folder / "valid" / "covid19" / "covid19-003.jpg"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert read_dataset(image_folder).fingerprint() != before


def test_the_fingerprint_changes_with_one_label(tmp_path):
    columns = ("file", "label", "split")
    rows = [(f"{i}.png", "ab"[i % 2], "train" if i < 6 else "valid") for i in range(12)]
    before = read_dataset(write_table(tmp_path / "t", columns, rows)).fingerprint()
    rows[0] = (rows[0][0], "b", "train")
    assert read_dataset(write_table(tmp_path / "t", columns, rows)).fingerprint() != before


def test_the_fingerprint_changes_with_the_side_of_one_image(tmp_path):
    columns = ("file", "label", "split")
    rows = [(f"{i:02}.png", "ab"[i % 2], "train" if i < 6 else "valid") for i in range(12)]
    before = read_dataset(write_table(tmp_path / "t", columns, rows)).fingerprint()
    rows[5] = (*rows[5][:2], "valid")  # the last of one side, now the first of the other
    assert read_dataset(write_table(tmp_path / "t", columns, rows)).fingerprint() != before


def test_the_fingerprint_does_not_depend_on_the_order_of_a_table(tmp_path):
    columns = ("file", "label", "split")
    rows = [(f"{i}.png", "ab"[i % 2], "train" if i < 6 else "valid") for i in range(12)]
    table = write_table(tmp_path / "t", columns, rows)
    before = read_dataset(table).fingerprint()
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n")
    assert read_dataset(table).fingerprint() == before
