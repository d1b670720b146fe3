"""A folder or a table of images becomes samples with labels, split into train and valid.

In: a folder or a CSV table (`pipeline.data.listing`) with the columns file, label and optionally
split, source, and one that says which images belong together: patient, or
another that is named. Out: `Dataset`. Images that belong together are on one side.
`pipeline.data.reading` then reads the images themselves.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.listing.folders import read_folder
from pipeline.data.listing.labels import refuse_one_sided, refuse_undecodable, same_labels
from pipeline.data.listing.sample import USUAL_GROUP as USUAL_GROUP
from pipeline.data.listing.sample import Found, copies
from pipeline.data.listing.sample import Sample as Sample
from pipeline.data.listing.tables import read_table
from pipeline.errors import BadInput, require
from pipeline.file_hash import file_sha256

if TYPE_CHECKING:
    from pipeline.data.kept_pixels import KeptPixels


@dataclass(frozen=True)
class Dataset:
    """Samples of both splits.

    Attributes:
        name: of the folder or table, as an identifier.
        labels: sorted, or in a checkpoint's own order; it is the class order everywhere.
        split_rule: how train and valid came about, and what they share, for the model card.
        group_column: of the table, which says what belongs together; None: nothing does.
        notes: sentences for the user: what was left out, or read in another way than written.
        pixels: of the samples, where they were kept when the images were read.
    """

    name: str
    labels: tuple[str, ...]
    train: tuple[Sample, ...]
    valid: tuple[Sample, ...]
    split_rule: str
    group_column: str | None = None
    notes: tuple[str, ...] = ()
    pixels: KeptPixels | None = field(default=None, compare=False, repr=False)

    def facts(self) -> dict[str, object]:
        """What a checkpoint says of its images; the group's column unless it is the usual one."""
        named = self.group_column not in (None, USUAL_GROUP)
        return {
            "name": self.name,
            "fingerprint": self.fingerprint(),
            "images": self.counts(),
            "split": self.split_rule,
            **({"group_column": self.group_column} if named else {}),
        }

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
                content = sample.sha256 or file_sha256(sample.path)
                digest.update(f"{split}\t{sample.file}\t{sample.label}\t{content}\n".encode())
        return digest.hexdigest()

    def spelled_as(self, labels: Sequence[str]) -> Dataset | None:
        """With the labels in the order and spelling of `labels`; None: they are others."""
        spelled = same_labels(self.labels, labels)
        if spelled is None or self.labels == tuple(labels):
            return self if spelled else None
        train, valid = (
            tuple(replace(sample, label=spelled[sample.label]) for sample in samples)
            for samples in (self.train, self.valid)
        )
        return replace(self, labels=tuple(labels), train=train, valid=valid)


def read_dataset(
    place: Path, *, seed: int = 2, valid_fraction: float = 0.25, group_column: str | None = None
) -> Dataset:
    """Read a folder or a CSV table.

    Args:
        place: a folder or a ``.csv`` file.
        seed: of the split, where the data have none.
        valid_fraction: share of the images (of the groups, where known) that is then valid.
        group_column: of the table, what belongs together; None: patient, if the table has it.

    Raises:
        BadInput: a missing or empty place, only one label, a label that one split lacks, a group
            in both splits, a table without its columns, a name that is not UTF-8.
    """
    if not os.path.exists(place):  # noqa: PTH110 - False of a name that no system takes, too
        raise BadInput(f"{place} does not exist; give a folder of images or a .csv table")
    if place.is_dir() and group_column is not None:
        raise BadInput(
            f"{place} is a folder, and folders do not say which {group_column} an image is of; "
            f"give a table with the columns file, label and {group_column}"
        )
    if place.is_dir():
        found = read_folder(place)
    elif place.is_file() and place.suffix.lower() == ".csv":
        found = read_table(place, group_column)
    else:
        raise BadInput(f"{place} is neither a folder nor a .csv table")
    for sample in found.samples:
        refuse_undecodable(sample.file)
    name = _identifier(found.name)
    if found.splits is None:
        dataset = split_at_random(
            name, found.samples, seed, valid_fraction, group_column=found.group_column
        )
    else:
        dataset = _as_given(name, found)
    dataset = replace(dataset, notes=(*found.notes, *dataset.notes))
    _check(dataset, place)
    return dataset


def _as_given(name: str, found: Found) -> Dataset:
    """Split as the place says. Without valid images those called test are valid."""
    assert found.splits is not None
    by_split: dict[str, list[Sample]] = {"train": [], "valid": [], "test": []}
    for sample, split in zip(found.samples, found.splits, strict=True):
        by_split[split].append(sample)
    valid, test, notes = by_split["valid"], by_split["test"], []
    if test and valid:
        notes.append(f"left out: {len(test)} images of test, beside train and valid")
    elif test:
        valid = test
        notes.append(f"no images are called valid: the {len(test)} called test are taken for that")
    labels = _labels([*by_split["train"], *valid])
    train = tuple(by_split["train"])
    group = found.group_column
    return Dataset(name, labels, train, tuple(valid), found.rule, group, tuple(notes))


def split_at_random(
    name: str,
    samples: Sequence[Sample],
    seed: int,
    valid_fraction: float,
    *,
    keep_patients_whole: bool = True,
    group_column: str | None = None,
) -> Dataset:
    """A seeded split, stratified by label; by whole groups where groups are known.

    With `keep_patients_whole` False images are drawn one by one, regardless of groups. With too
    few images to split, `valid` stays empty; with fewer groups than parts, there are fewer parts.
    `group_column` names the groups.

    Raises:
        BadInput: a share out of range, or too few groups to have every label on both sides.
    """
    group_column = group_column or next((USUAL_GROUP for s in samples if s.patient), None)
    if not 0.05 <= valid_fraction <= 0.5:
        raise BadInput(f"valid fraction {valid_fraction} is not between 0.05 and 0.5")
    labels = _labels(samples)
    counts = Counter(sample.label for sample in samples)
    folds = round(1 / valid_fraction)
    by_patient = keep_patients_whole and any(sample.patient for sample in samples)
    if len(counts) > 1 and min(counts.values()) >= folds:
        require("sklearn", what="splitting images that bring no split")
        from sklearn.model_selection import StratifiedGroupKFold

        # Without groups every image is one of its own, which makes it a plain stratified split.
        groups = [(by_patient and sample.patient) or sample.file for sample in samples]
        folds = min(folds, len(set(groups)))
        if folds < 2:
            raise BadInput(_too_few(group_column))
        folder = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        given = [sample.label for sample in samples]
        drawn = folder.split(samples, given, groups)
        train, valid = _first_fold_with_every_label(drawn, given, group_column)
    else:
        train, valid = range(len(samples)), ()
    sides = tuple(samples[i] for i in train), tuple(samples[i] for i in valid)
    unit = group_column if by_patient else "image"
    rule = f"at random by {unit}, 1 of {folds} valid, seed {seed}"
    return Dataset(name, labels, *sides, "; ".join([rule, *copies(*sides)]), group_column)


def _first_fold_with_every_label(
    folds: Iterable[tuple[Sequence[int], Sequence[int]]], given: Sequence[str], group: str | None
) -> tuple[Sequence[int], Sequence[int]]:
    """Few groups cannot always be spread evenly: some folds may lack a label on one side."""
    for train, valid in folds:
        if all({given[i] for i in side} == set(given) for side in (train, valid)):
            return train, valid
    raise BadInput(_too_few(group))


def _too_few(group: str | None) -> str:
    return (
        f"too few {group or 'image'}s to have every label in train and in valid; "
        "give a column split"
    )


def _labels(samples: Iterable[Sample]) -> tuple[str, ...]:
    return tuple(sorted({sample.label for sample in samples}))


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "data"


def _check(dataset: Dataset, place: Path) -> None:
    left_out = "".join(f" ({note})" for note in dataset.notes)
    if not dataset.train and not dataset.valid:
        raise BadInput(
            f"{place} holds no labelled images; expected train/<label>/ and valid/<label>/, "
            f"or <label>/, with files such as .jpg or .png{left_out}"
        )
    if len(dataset.labels) < 2:
        raise BadInput(
            f"{place} has one label only ({dataset.labels[0]}); a classifier needs two or more"
            f"{left_out}"
        )
    refuse_one_sided(place, dataset.counts())
    train_files = {sample.file for sample in dataset.train}
    twice = [sample.file for sample in dataset.valid if sample.file in train_files]
    if twice:
        raise BadInput(f"{place}: {twice[0]} is in train and in valid")
    train_patients = {sample.patient for sample in dataset.train} - {None}
    both = sorted({s.patient for s in dataset.valid if s.patient in train_patients if s.patient})
    if both:
        raise BadInput(
            f"{place}: {dataset.group_column} {both[0]} is in train and in valid"
            f"{f' (and {len(both) - 1} more)' if len(both) > 1 else ''}; "
            f"move all images of a {dataset.group_column} to one side"
        )
