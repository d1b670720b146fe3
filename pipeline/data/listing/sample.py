"""One labelled image, and what is found in a place before it is split into train and valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# Split -> names of a folder, or words in a table, that stand for it, in any case.
SPLITS: Final = {
    "train": ("train", "training"),
    "valid": ("valid", "val", "validation"),
    "test": ("test",),
}
USUAL_GROUP: Final = "patient"  # a table's column that is taken for the group unasked


@dataclass(frozen=True)
class Sample:
    """One labelled image; `file` is its path relative to the data set, with forward slashes.

    Attributes:
        patient: what it shares with others that belong to it: a patient, a scene, a device.
        sha256: of the file's content, once it has been read.
    """

    path: Path
    file: str
    label: str
    patient: str | None = None
    source: str | None = None
    sha256: str | None = field(default=None, compare=False, repr=False)

    @property
    def patient_or_file(self) -> str:
        """What counts as one when images are drawn again: the group, or the image alone."""
        return self.patient or self.file


@dataclass(frozen=True)
class Found:
    """Samples as a folder or a table gives them.

    Attributes:
        name: of the place, to be made an identifier.
        splits: of each sample, ``train``, ``valid`` or ``test``; None: the place gives none.
        rule: how train and valid came about, if the place gives them.
        notes: sentences for the user: what was left out, or read in another way than it is written.
        group_column: of a table, which says what belongs together; None: nothing does.
    """

    name: str
    samples: tuple[Sample, ...]
    splits: tuple[str, ...] | None = None
    rule: str = ""
    notes: tuple[str, ...] = ()
    group_column: str | None = None


def split_named(name: str) -> str | None:
    """``train``, ``valid`` or ``test``, if a folder or a word in a table stands for it."""
    plain = name.strip().casefold()
    return next((split for split, names in SPLITS.items() if plain in names), None)


def copies(train: Sequence[Sample], valid: Sequence[Sample]) -> list[str]:
    """What makes the figures of the validation images better than they are, in sentences.

    Images that have not been read yet (`Sample.sha256`) are taken for different ones.
    """
    learnt = {sample.sha256 for sample in train}
    known = [sample.sha256 for sample in valid if sample.sha256]
    copied = sum(sha256 in learnt for sha256 in known)
    again = len(known) - len(set(known))
    found = []
    if copied:
        found.append(f"{copied} of {len(valid)} validation images are in train too (same bytes)")
    if again:
        found.append(f"{again} of {len(valid)} validation images are copies of others of them")
    return found
