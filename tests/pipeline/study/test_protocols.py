from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.data.dataset import Dataset, Sample, read_dataset
from pipeline.errors import BadInput
from pipeline.study.protocols import Pool, apply_protocol, make_pool, table_of
from tests.conftest import write_images

CXR = Path(__file__).parents[3] / ".." / "shared" / "cxr"


def samples(label: str, count: int, source: str | None, each: int = 1) -> list[Sample]:
    """`count` images of a label, `each` of them of one patient."""
    name = f"{label}-{source}"
    return [
        Sample(
            Path(f"{name}-{i:03}.jpg"), f"{name}-{i:03}.jpg", label, f"{name}-{i // each}", source
        )
        for i in range(count)
    ]


def pool(*groups: list[Sample], own_split: bool = False, positive: str = "ill") -> Pool:
    everything = [sample for group in groups for sample in group]
    labels = tuple(sorted({sample.label for sample in everything}))
    half = Dataset("xrays", labels, tuple(everything[::2]), tuple(everything[1::2]), "by table")
    return Pool(half, own_split, positive, "xrays.csv")


def files(dataset: Dataset) -> set[str]:
    return {sample.file for sample in (*dataset.train, *dataset.valid)}


def patients(side: tuple[Sample, ...]) -> set[str | None]:
    return {sample.patient for sample in side}


# --- paper


def test_the_paper_protocol_leaves_out_negatives_of_a_source_that_holds_positives():
    mixed = pool(
        samples("ill", 20, "north"), samples("well", 12, "north"), samples("well", 24, "south")
    )
    ruling = apply_protocol(mixed, "paper", 2, 0.25)
    assert ruling.left_out == (("well", "north", 12),)
    kept = [*ruling.dataset.train, *ruling.dataset.valid]
    assert Counter((s.label, s.source) for s in kept) == {
        ("ill", "north"): 20,
        ("well", "south"): 24,
    }
    assert "left out: 12 well of north" in ruling.notes[0]
    assert "left out: 12 well of north" in ruling.dataset.split_rule


def test_with_one_source_for_everything_nothing_is_left_out():
    ruling = apply_protocol(
        pool(samples("ill", 8, "north"), samples("well", 8, "north")), "paper", 2, 0.25
    )
    assert ruling.left_out == ()
    assert len(files(ruling.dataset)) == 16


def test_without_sources_nothing_is_left_out():
    ruling = apply_protocol(
        pool(samples("ill", 8, None), samples("well", 8, None)), "paper", 2, 0.25
    )
    assert ruling.left_out == ()
    assert len(files(ruling.dataset)) == 16


def test_the_paper_protocol_keeps_the_shares_of_the_labels():
    ruling = apply_protocol(
        pool(samples("ill", 40, "a"), samples("well", 80, "b")), "paper", 2, 0.25
    )
    assert ruling.dataset.counts() == {
        "train": {"ill": 30, "well": 60},
        "valid": {"ill": 10, "well": 20},
    }


def test_the_paper_protocol_draws_images_and_says_how_many_patients_are_on_both_sides():
    many = pool(samples("ill", 40, "a", each=4), samples("well", 40, "b", each=4))
    ruling = apply_protocol(many, "paper", 2, 0.25)
    shared = patients(ruling.dataset.train) & patients(ruling.dataset.valid)
    assert len(shared) > 5
    assert any(note.startswith(f"{len(shared)} patients have images in") for note in ruling.notes)
    assert ruling.dataset.split_rule.startswith("at random by image, 1 of 4 valid, seed 2")


def test_the_seed_decides_the_split_and_nothing_else_does():
    forth = pool(samples("ill", 20, "a"), samples("well", 20, "b"))
    turned = replace(forth.dataset, train=forth.dataset.valid, valid=forth.dataset.train)
    back = replace(forth, dataset=turned)
    first, again, other = (
        [s.file for s in apply_protocol(its, "paper", seed, 0.25).dataset.train]
        for its, seed in ((forth, 2), (back, 2), (forth, 3))
    )
    assert first == again
    assert first != other


def test_exclude_replaces_the_rule():
    mixed = pool(
        samples("ill", 20, "north"), samples("well", 12, "north"), samples("well", 24, "south")
    )
    other = apply_protocol(mixed, "paper", 2, 0.25, ["well/south"])
    assert other.left_out == (("well", "south", 24),)
    nothing = apply_protocol(mixed, "paper", 2, 0.25, ["none"])
    assert nothing.left_out == ()
    assert len(files(nothing.dataset)) == 56


def test_excluding_what_is_not_there_is_refused_with_what_is():
    with pytest.raises(BadInput, match=r"--exclude well/east: .* there are: ill/north, well/south"):
        apply_protocol(
            pool(samples("ill", 8, "north"), samples("well", 8, "south")),
            "paper",
            2,
            0.25,
            ["well/east"],
        )


def test_excluding_every_negative_makes_the_protocol_impossible():
    ruling = apply_protocol(
        pool(samples("ill", 8, "a"), samples("well", 8, "b")), "paper", 2, 0.25, ["well/b"]
    )
    assert ruling.dataset is None
    assert "too few images" in ruling.reason


def test_too_few_images_make_the_paper_protocol_impossible():
    ruling = apply_protocol(pool(samples("ill", 3, "a"), samples("well", 9, "b")), "paper", 2, 0.25)
    assert ruling.dataset is None
    assert "too few images" in ruling.reason


def test_where_the_source_gives_the_label_away_it_is_said():
    apart = pool(samples("ill", 8, "a"), samples("well", 8, "b"))
    mixed = pool(samples("ill", 8, "a"), samples("well", 8, "a"), samples("well", 8, "b"))
    for protocol in ("paper", "strict"):
        assert "recognising the source" in apply_protocol(apart, protocol, 2, 0.25).notes[-1]
    assert apply_protocol(mixed, "strict", 2, 0.25).notes == ()


# --- strict


def test_a_split_by_patient_keeps_patients_whole():
    many = pool(samples("ill", 40, "a", each=4), samples("well", 40, "a", each=4))
    ruling = apply_protocol(many, "strict", 2, 0.25)
    assert not patients(ruling.dataset.train) & patients(ruling.dataset.valid)
    assert len(files(ruling.dataset)) == 80
    assert ruling.dataset.split_rule.startswith("at random by patient")
    assert ruling.left_out == ()


def test_the_tables_own_split_is_the_strict_one():
    own = pool(samples("ill", 8, "a"), samples("well", 8, "a"), own_split=True)
    for seed in (2, 3):
        assert apply_protocol(own, "strict", seed, 0.25).dataset == own.dataset


@pytest.mark.parametrize("own_split", [True, False])
def test_without_patients_the_strict_protocol_is_not_possible(own_split):
    nobody = [Sample(s.path, s.file, s.label) for s in samples("ill", 8, None)]
    ruling = apply_protocol(
        pool(nobody, samples("well", 8, None), own_split=own_split), "strict", 2, 0.25
    )
    assert ruling.dataset is None
    assert ruling.reason.startswith("8 of 16 images name no patient")
    assert "its column by --group-column" in ruling.reason


def test_too_few_patients_make_the_strict_protocol_impossible():
    few = pool(samples("ill", 8, "a", each=8), samples("well", 8, "a"))
    ruling = apply_protocol(few, "strict", 2, 0.25)
    assert ruling.dataset is None
    assert "too few patients" in ruling.reason


# --- pool


@pytest.mark.parametrize(
    ("ill", "well", "positive"), [(3, 5, "ill"), (5, 3, "well"), (4, 4, "well")]
)
def test_the_positive_label_of_a_pool_is_the_rarer_one(ill, well, positive):
    dataset = pool(samples("ill", ill, "a"), samples("well", well, "b")).dataset
    assert make_pool(dataset, None, "here").positive == positive
    assert make_pool(dataset, "ill", "here").positive == "ill"
    with pytest.raises(BadInput, match="--positive flu: the labels are ill, well"):
        make_pool(dataset, "flu", "here")


def test_three_labels_have_no_positive_one_and_nothing_is_left_out():
    three = pool(samples("a", 8, "x"), samples("b", 8, "x"), samples("c", 8, "y")).dataset
    made = make_pool(three, None, "here")
    assert made.positive is None
    assert apply_protocol(made, "paper", 2, 0.25).left_out == ()
    with pytest.raises(BadInput, match="needs two labels"):
        make_pool(three, "a", "here")


def test_a_table_inside_the_folder_is_read_in_its_place(tmp_path):
    assert table_of(tmp_path) == tmp_path
    (tmp_path / "metadata.csv").write_text("name,class\n")
    assert table_of(tmp_path) == tmp_path
    (tmp_path / "metadata.csv").write_text("label,file,patient\n")
    assert table_of(tmp_path) == tmp_path / "metadata.csv"
    assert table_of(tmp_path / "other.csv") == tmp_path / "other.csv"


def test_a_folder_with_its_own_split_is_one_pool_to_the_paper_protocol(image_folder):
    made = make_pool(read_dataset(image_folder), "covid19", "xrays")
    assert made.own_split
    ruling = apply_protocol(made, "paper", 2, 0.25)
    assert len(files(ruling.dataset)) == 36
    assert len(ruling.dataset.valid) == 9
    assert {sample.file.split("/")[0] for sample in ruling.dataset.valid} == {"train", "valid"}


def test_a_folder_without_a_split_brings_none(tmp_path):
    for label in ("a", "b"):
        write_images(tmp_path / "flat", label, 8)
    assert not make_pool(read_dataset(tmp_path / "flat"), None, "flat").own_split


@pytest.mark.skipif(not CXR.is_dir(), reason="../shared/cxr is not there")
def test_the_papers_composition_comes_out_of_the_shared_x_rays():
    made = make_pool(read_dataset(table_of(CXR)), None, "cxr")
    paper = apply_protocol(made, "paper", 2, 0.25)
    counts = Counter(s.label for s in (*paper.dataset.train, *paper.dataset.valid))
    assert counts == {"covid19": 183, "non_covid19": 366}
    strict = apply_protocol(made, "strict", 2, 0.25)
    assert len(files(strict.dataset)) == 609
    assert not patients(strict.dataset.train) & patients(strict.dataset.valid)
