"""A folder or a table of images becomes samples with labels, split into train and valid.

In: a folder (``train/<label>/`` and ``valid/<label>/``, or ``<label>/``) or a CSV table with the
columns file, label and optionally split (train, valid), patient and source.
Out: `Dataset`. No patient is on both sides. `check_images` decodes every image once, so that a
damaged file stops the run before training starts and not in its third epoch.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import BadInput, require
from pipeline.file_hash import file_sha256
from pipeline.images import SUFFIXES, read_image

SPLITS: Final = ("train", "valid")


@dataclass(frozen=True)
class Sample:
    """One labelled image; `file` is its path relative to the data set, with forward slashes."""

    path: Path
    file: str
    label: str
    patient: str | None = None
    source: str | None = None

    @property
    def patient_or_file(self) -> str:
        """What counts as one when images are drawn again: the patient, or the image alone."""
        return self.patient or self.file


@dataclass(frozen=True)
class Dataset:
    """Samples of both splits.

    Attributes:
        name: of the folder or table, as an identifier.
        labels: sorted; their order is the class order everywhere.
        split_rule: how train and valid came about, for the model card.
    """

    name: str
    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    valid: tuple[Sample, ...]
    split_rule: str

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and label."""
        return {
            split: dict(sorted(Counter(sample.label for sample in samples).items()))
            for split, samples in (("train", self.train), ("valid", self.valid))
        }

    def fingerprint(self) -> str:
        """SHA-256 over split, file name, label and content of every image, in sorted order."""
        digest = hashlib.sha256()
        for split, samples in (("train", self.train), ("valid", self.valid)):
            for sample in sorted(samples, key=lambda s: s.file):
                content = file_sha256(sample.path)
                digest.update(f"{split}\t{sample.file}\t{sample.label}\t{content}\n".encode())
        return digest.hexdigest()


def read_dataset(place: Path, *, seed: int = 2, valid_fraction: float = 0.25) -> Dataset:
    """Read a folder or a CSV table.

    Args:
        place: a folder or a ``.csv`` file.
        seed: of the split, where the data have none.
        valid_fraction: share of the images (of the patients, where known) that is then valid.

    Raises:
        BadInput: a missing or empty place, only one label, a label that one split lacks, a patient
            in both splits, a table without its columns.
    """
    if place.is_dir():
        dataset = _from_folder(place, seed, valid_fraction)
    elif place.is_file() and place.suffix.lower() == ".csv":
        dataset = _from_table(place, seed, valid_fraction)
    elif place.exists():
        raise BadInput(f"{place} is neither a folder nor a .csv table")
    else:
        raise BadInput(f"{place} does not exist; give a folder of images or a .csv table")
    _check(dataset, place)
    return dataset


def check_images(samples: Iterable[Sample]) -> None:
    """Decode every image once.

    Raises:
        BadInput: names the first damaged file and counts the others.
    """
    failures = []
    for sample in samples:
        try:
            read_image(sample.path, side=32)
        except BadInput as error:
            failures.append(error)
    if failures:
        others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise BadInput(f"{failures[0]}{others}; replace or remove it") from failures[0]


def _from_folder(place: Path, seed: int, valid_fraction: float) -> Dataset:
    name = _identifier(place.resolve().name)
    present = [split for split in SPLITS if (place / split).is_dir()]
    if len(present) == 1:
        raise BadInput(f"{place} has {present[0]}/ only; it needs both, or <label>/ folders alone")
    if present:
        train, valid = (_labelled_images(place / split, place) for split in SPLITS)
        labels = _labels([*train, *valid])
        return Dataset(name, labels, tuple(train), tuple(valid), "by folder")
    samples = _labelled_images(place, place)
    return split_at_random(name, samples, seed, valid_fraction)


def _labelled_images(folder: Path, root: Path) -> list[Sample]:
    return [
        Sample(path=path, file=path.relative_to(root).as_posix(), label=label.name)
        for label in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
        for path in sorted(label.rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _from_table(place: Path, seed: int, valid_fraction: float) -> Dataset:
    try:
        with place.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{place} is not a CSV table in UTF-8: {error}") from error
    missing = [column for column in ("file", "label") if column not in columns]
    if missing:
        raise BadInput(
            f"{place} has no column {' and '.join(missing)}; its columns are {', '.join(columns)}"
        )
    root = place.parent
    samples, splits = [], []
    for line, row in rows:
        if not row["file"] or not row["label"]:
            raise BadInput(f"{place}, line {line}: file and label must not be empty")
        path = root / row["file"]
        file = Path(os.path.relpath(path, root)).as_posix()  # never absolute: it is published
        if not path.is_file():
            raise BadInput(f"{place}, line {line}: {row['file']} does not exist next to the table")
        sample = Sample(
            path, file, row["label"], row.get("patient") or None, row.get("source") or None
        )
        samples.append(sample)
        splits.append(row.get("split"))
    name = _identifier(place.resolve().parent.name if place.stem == "metadata" else place.stem)
    if "split" not in columns:
        return split_at_random(name, samples, seed, valid_fraction)
    for (line, _), split in zip(rows, splits, strict=True):
        if split not in SPLITS:
            raise BadInput(f"{place}, line {line}: split is {split!r}, not train or valid")
    train, valid = (
        tuple(s for s, its in zip(samples, splits, strict=True) if its == split) for split in SPLITS
    )
    rule = "by table, no patient in both" if "patient" in columns else "by table"
    return Dataset(name, _labels(samples), train, valid, rule)


def split_at_random(
    name: str,
    samples: Sequence[Sample],
    seed: int,
    valid_fraction: float,
    *,
    keep_patients_whole: bool = True,
) -> Dataset:
    """A seeded split, stratified by label; by whole patients where patients are known.

    With `keep_patients_whole` False images are drawn one by one, regardless of patients. With too
    few images to split, `valid` stays empty.

    Raises:
        BadInput: a share out of range, or too few patients to have every label on both sides.
    """
    if not 0.05 <= valid_fraction <= 0.5:
        raise BadInput(f"valid fraction {valid_fraction} is not between 0.05 and 0.5")
    labels = _labels(samples)
    counts = Counter(sample.label for sample in samples)
    folds = round(1 / valid_fraction)
    by_patient = keep_patients_whole and any(sample.patient for sample in samples)
    if len(counts) > 1 and min(counts.values()) >= folds:
        require("sklearn", what="splitting images that bring no split")
        from sklearn.model_selection import StratifiedGroupKFold

        # Without a patient every image is its own group, which makes it a plain stratified split.
        groups = [(by_patient and sample.patient) or sample.file for sample in samples]
        folder = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        given = [sample.label for sample in samples]
        train, valid = _first_fold_with_every_label(folder.split(samples, given, groups), given)
    else:
        train, valid = range(len(samples)), ()
    return Dataset(
        name,
        labels,
        tuple(samples[i] for i in train),
        tuple(samples[i] for i in valid),
        f"at random {'by patient' if by_patient else 'by image'}, 1 of {folds} valid, seed {seed}",
    )


def _first_fold_with_every_label(
    folds: Iterable[tuple[Sequence[int], Sequence[int]]], given: Sequence[str]
) -> tuple[Sequence[int], Sequence[int]]:
    """Few patients cannot always be spread evenly: some folds may lack a label on one side."""
    for train, valid in folds:
        if all({given[i] for i in side} == set(given) for side in (train, valid)):
            return train, valid
    raise BadInput(
        "too few patients to have every label in train and in valid; give a column split"
    )


def _labels(samples: Iterable[Sample]) -> tuple[str, ...]:
    return tuple(sorted({sample.label for sample in samples}))


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "data"


def _check(dataset: Dataset, place: Path) -> None:
    if not dataset.train and not dataset.valid:
        raise BadInput(
            f"{place} holds no labelled images; expected train/<label>/ and valid/<label>/, "
            f"or <label>/, with files such as .jpg or .png"
        )
    if len(dataset.labels) < 2:
        raise BadInput(
            f"{place} has one label only ({dataset.labels[0]}); a classifier needs two or more"
        )
    for split, counts in dataset.counts().items():
        lacking = [label for label in dataset.labels if not counts.get(label)]
        if lacking:
            raise BadInput(f"{place}: no {split} image has the label {', '.join(lacking)}")
    train_files = {sample.path.resolve() for sample in dataset.train}
    twice = [sample.file for sample in dataset.valid if sample.path.resolve() in train_files]
    if twice:
        raise BadInput(f"{place}: {twice[0]} is in train and in valid")
    train_patients = {sample.patient for sample in dataset.train} - {None}
    both = sorted({s.patient for s in dataset.valid if s.patient in train_patients if s.patient})
    if both:
        raise BadInput(
            f"{place}: patient {both[0]} is in train and in valid"
            f"{f' (and {len(both) - 1} more)' if len(both) > 1 else ''}; "
            "move all images of a patient to one side"
        )
