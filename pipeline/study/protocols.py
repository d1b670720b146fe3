"""How images are chosen and split for a study: two protocols, each a property of the data.

``paper``   at random by image, stratified by label. Images of one group may be on both sides.
            Negatives of a source that also has positives are left out, which is how the paper's set
            was made; `--exclude` replaces this rule.
``strict``  every image, by group (patient, scene): the table's own split, or groups at random.
            Needs a group for every image.

In: a folder or a table. Out: `Pool` (every image of it), and for each protocol and seed a `Ruling`:
the data set, with notes about it, or the reason why there is none.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.data.dataset import USUAL_GROUP, split_at_random
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset, Sample

PROTOCOLS: Final = ("paper", "strict")
TABLE: Final = "metadata.csv"
NOTHING: Final = "none"


@dataclass(frozen=True)
class Pool:
    """Every image of a place, before a protocol chooses among them.

    Attributes:
        dataset: as the place itself splits it, or at random.
        own_split: the place has its own split.
        positive: the label that recall refers to; None for more than two labels.
        place: what was read, for the report.
    """

    dataset: Dataset
    own_split: bool
    positive: str | None
    place: str

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Both sides, in the order of their file names: one split must not depend on another."""
        return tuple(sorted((*self.dataset.train, *self.dataset.valid), key=lambda s: s.file))


@dataclass(frozen=True)
class Ruling:
    """The result of a protocol for a pool.

    Attributes:
        dataset: None where the protocol is not possible.
        left_out: how many images of each (label, source) the protocol leaves out.
        notes: sentences that belong with every figure measured on it.
        reason: why there is no data set; empty if there is one.
    """

    dataset: Dataset | None
    left_out: tuple[tuple[str, str, int], ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""


def table_of(place: Path) -> Path:
    """The table to read for `place`: its own ``metadata.csv`` where that names file and label.

    A folder alone names neither groups nor sources; a table next to the images does.
    """
    table = place / TABLE
    if not table.is_file():
        return place
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            columns = next(csv.reader(lines), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return place
    return table if {"file", "label"} <= set(columns) else place


def make_pool(dataset: Dataset, positive: str | None, place: str) -> Pool:
    """Raises `BadInput` for a positive label that the images do not have.

    The default is the rarer of two, on a tie the last in alphabetical order.
    """
    if positive is not None and positive not in dataset.labels:
        raise BadInput(f"--positive {positive}: the labels are {', '.join(dataset.labels)}")
    if len(dataset.labels) > 2:
        if positive is not None:
            raise BadInput(f"--positive needs two labels; the data have {len(dataset.labels)}")
    elif positive is None:
        counts = Counter(sample.label for sample in (*dataset.train, *dataset.valid))
        positive = min(reversed(dataset.labels), key=lambda label: counts[label])
    return Pool(dataset, not dataset.split_rule.startswith("at random"), positive, place)


def apply_protocol(
    pool: Pool, protocol: str, seed: int, valid_fraction: float, exclude: Sequence[str] = ()
) -> Ruling:
    """The data set that `protocol` makes of `pool`, or why it makes none.

    Args:
        pool: every image.
        protocol: of `PROTOCOLS`.
        seed: of a split at random.
        valid_fraction: share that is valid then.
        exclude: for `paper`: ``LABEL/SOURCE`` each, instead of its rule; ``none``: nothing.

    Raises:
        BadInput: `exclude` names something that the data do not have.
    """
    if protocol not in PROTOCOLS:
        raise BadInput(f"unknown protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    if protocol == "strict":
        return _strict(pool, seed, valid_fraction)
    return _paper(pool, seed, valid_fraction, exclude)


def _paper(pool: Pool, seed: int, valid_fraction: float, exclude: Sequence[str]) -> Ruling:
    chosen = _groups_to_exclude(pool, exclude)
    kept = [s for s in pool.samples if (s.label, s.source) not in chosen]
    counts = Counter(
        (s.label, s.source) for s in pool.samples if s.source and (s.label, s.source) in chosen
    )
    left_out = tuple((label, str(source), n) for (label, source), n in sorted(counts.items()))
    name, group = pool.dataset.name, pool.dataset.group_column
    try:
        dataset = split_at_random(
            name, kept, seed, valid_fraction, keep_patients_whole=False, group_column=group
        )
    except BadInput as error:
        return Ruling(None, left_out, reason=str(error))
    if not dataset.valid or dataset.labels != pool.dataset.labels:
        return Ruling(None, left_out, reason="too few images to have every label on both sides")
    told = ", ".join(f"{n} {label} of {source}" for label, source, n in left_out)
    notes = [f"left out: {told}" + ("" if exclude else RULE)] if told else []
    shared = {s.patient for s in dataset.train} & {s.patient for s in dataset.valid} - {None}
    if shared:
        notes.append(
            f"{len(shared)} {dataset.group_column}s have images in train and in valid, as in a "
            f"split by image: figures are too good for other {dataset.group_column}s"
        )
    rule = dataset.split_rule + (f"; left out: {told}" if told else "")
    return Ruling(replace(dataset, split_rule=rule), left_out, (*notes, *_cautions(dataset)))


RULE: Final = " (negatives of a source that also holds positives; --exclude changes it)"


def _groups_to_exclude(pool: Pool, exclude: Sequence[str]) -> set[tuple[str, str | None]]:
    """(label, source) pairs: those asked for, or by the rule of the paper's set."""
    present = {(s.label, s.source) for s in pool.samples if s.source}
    if exclude:
        by_name: dict[str, tuple[str, str | None]] = {f"{la}/{so}": (la, so) for la, so in present}
        asked = [name for name in exclude if name != NOTHING]
        unknown = [name for name in asked if name not in by_name]
        if unknown:
            known = ", ".join(sorted(by_name)) or "none, because the data name no source"
            raise BadInput(f"--exclude {unknown[0]}: no such LABEL/SOURCE; there are: {known}")
        return {by_name[name] for name in asked}
    sources = {source for label, source in present if label == pool.positive}
    mixed: set[tuple[str, str | None]] = {
        (la, so) for la, so in present if la != pool.positive and so in sources
    }
    remaining = [
        s for s in pool.samples if s.label != pool.positive and (s.label, s.source) not in mixed
    ]
    # With one source for everything the rule would leave no negatives: then it has no sense.
    return mixed if pool.positive is not None and remaining else set()


def _strict(pool: Pool, seed: int, valid_fraction: float) -> Ruling:
    unknown = sum(sample.patient is None for sample in pool.samples)
    if unknown:
        known = len(pool.samples) - unknown
        group = pool.dataset.group_column or (USUAL_GROUP if known else "group")
        what = f"{unknown} of {len(pool.samples)} images name no {group}"
        return Ruling(
            None,
            reason=f"{what if known else f'no image names its {group}'}, so no split can keep "
            f"{group}s apart; give a table, and the name of its column by --group-column",
        )
    if pool.own_split:
        dataset = pool.dataset
    else:
        try:
            dataset = split_at_random(
                pool.dataset.name,
                pool.samples,
                seed,
                valid_fraction,
                group_column=pool.dataset.group_column,
            )
        except BadInput as error:
            return Ruling(None, reason=str(error))
        if not dataset.valid:
            return Ruling(None, reason="too few images to have every label on both sides")
    return Ruling(dataset, notes=_cautions(dataset))


def _cautions(dataset: Dataset) -> tuple[str, ...]:
    """Where no source holds two labels, the source gives the answer away."""
    labels_of: dict[str, set[str]] = {}
    for sample in (*dataset.train, *dataset.valid):
        if sample.source:
            labels_of.setdefault(sample.source, set()).add(sample.label)
    if labels_of and all(len(labels) == 1 for labels in labels_of.values()):
        return (
            "no source holds images of two labels: a network can score by recognising the source "
            "(DeGrave et al., Nature Machine Intelligence 2021)",
        )
    return ()
