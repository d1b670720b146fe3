"""Images in a table: a CSV file with the columns file and label, as people's programs write it.

In: the file. Out: `Found`. Columns may be separated by commas, semicolons or tabs, the text be
UTF-8 or UTF-16, headers have capitals and blanks, and folders be separated by backslashes: none of
these can be mistaken for something else. A note says how it was read.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Final

from pipeline.data.listing.labels import plain_label
from pipeline.data.listing.sample import SPLITS, USUAL_GROUP, Found, Sample, split_named
from pipeline.errors import BadInput

NEEDED: Final = ("file", "label")
BACKSLASHES: Final = "backslashes in file names"
DELIMITERS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
BYTE_ORDER_MARKS: Final = {
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}


@dataclass
class Reading:
    """One table while it is read.

    Attributes:
        place: the file.
        group: the column that says what belongs together; None: there is none.
        ways: how it is written, where that is not the usual way.
        seen: file -> its first line and sample.
        repeated: rows that say again what another has said.
    """

    place: Path
    group: str | None
    ways: list[str] = field(default_factory=list)
    seen: dict[str, tuple[int, Sample, str | None]] = field(default_factory=dict)
    repeated: int = 0

    def notes(self) -> tuple[str, ...]:
        """Sentences for the user."""
        name = self.place.name
        notes = [f"{name} is read with {', '.join(self.ways)}"] if self.ways else []
        if self.repeated:
            notes.append(f"{name}: {self.repeated} rows repeat others; each image counts once")
        return tuple(notes)


def read_table(place: Path, group_column: str | None = None) -> Found:
    """Read a table.

    Args:
        place: the file.
        group_column: what belongs together; None: patient, if the table has it.

    Raises:
        BadInput: not a table, a column is missing or given twice, or a row names no file, no label,
            no split that is known, or an image that another row gives another label or split.
    """
    reading = Reading(place, group_column)
    columns, rows = _rows(reading)
    if group_column is None and USUAL_GROUP in columns:
        reading.group = USUAL_GROUP
    group = reading.group
    for line, row in rows:
        _take(reading, line, row, with_split="split" in columns)
    taken = [(sample, split) for _, sample, split in reading.seen.values()]
    samples = tuple(sample for sample, _ in taken)
    name = place.resolve().parent.name if place.stem == "metadata" else place.stem
    notes = reading.notes()
    if "split" not in columns:
        return Found(name, samples, notes=notes, group_column=group)
    splits = tuple(str(split) for _, split in taken)
    rule = f"by table, no {group} in both" if group else "by table"
    return Found(name, samples, splits, rule, notes, group)


def _rows(reading: Reading) -> tuple[list[str], Iterator[tuple[int, dict[str, str | None]]]]:
    """The columns' names, and the number and cells of each row."""
    place = reading.place
    text = _text(reading)
    first = next((line for line in text.splitlines() if line.strip()), "")
    given = {mark: _names(first, mark) for mark in DELIMITERS}
    likely = max(DELIMITERS, key=lambda mark: len(given[mark]))  # for the message below
    mark = next((m for m, names in given.items() if {*NEEDED} <= {*names}), likely)
    if mark != ",":
        reading.ways.append(f"{DELIMITERS[mark]} between columns")
    try:
        reader = csv.DictReader(StringIO(text, newline=""), delimiter=mark)
        columns = [_column(name) for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise BadInput(f"{place} is not a CSV table in UTF-8: {error}") from error
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise BadInput(f"{place} has the column {twice[0]} twice; keep one of them")
    needed = (*NEEDED, *([reading.group] if reading.group else []))
    missing = [column for column in needed if _column(column) not in columns]
    if missing:
        raise BadInput(
            f"{place} has no column {' and '.join(missing)}; its columns are "
            f"{', '.join(columns) or 'none'}"
        )
    return columns, iter(rows)


def _text(reading: Reading) -> str:
    place = reading.place
    try:
        content = place.read_bytes()
    except OSError as error:
        raise BadInput(f"{place} cannot be read: {error.strerror}") from error
    encoding = next(
        (e for mark, e in BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8"
    )
    if encoding == "utf-8" and b"\0" in content[:2]:  # of two bytes to a letter, one is 0
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    if encoding.startswith("utf-16"):
        reading.ways.append("UTF-16 as its encoding")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{place} is not a CSV table in UTF-8 (line {line} has the byte "
            f"{content[error.start]:#04x}); save it as CSV UTF-8"
        ) from error


def _names(line: str, delimiter: str) -> list[str]:
    try:
        return [_column(name) for name in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _column(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip().casefold()


def _take(reading: Reading, line: int, row: dict[str, str | None], with_split: bool) -> None:
    """Add the sample of a row, unless another row has said the same."""
    where = f"{reading.place}, line {line}"
    columns = {"file": "file", "label": "label", "source": "source"}
    if reading.group:
        columns["group"] = _column(reading.group)
    cells = {name: (row.get(column) or "").strip() for name, column in columns.items()}
    if not cells["file"] or not cells["label"]:
        raise BadInput(f"{where}: file and label must not be empty")
    split = split_named(row.get("split") or "") if with_split else None
    if with_split and split is None:
        words = ", ".join(name for names in SPLITS.values() for name in names)
        raise BadInput(f"{where}: split is {row.get('split')!r}, not train or valid ({words})")
    path = _existing(reading, row["file"] or "", where)
    file = Path(os.path.relpath(path, reading.place.parent)).as_posix()  # it is published
    try:
        label = plain_label(cells["label"])
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    group, source = (
        unicodedata.normalize("NFC", cells.get(name, "")) or None for name in ("group", "source")
    )
    sample = Sample(path, file, label, group, source)
    if file not in reading.seen:
        reading.seen[file] = (line, sample, split)
        return
    before, known, its_split = reading.seen[file]
    if known.label != label:
        raise BadInput(
            f"{reading.place}: {file} has the labels {known.label!r} (line {before}) and "
            f"{label!r} (line {line}); a classifier needs one label an image"
        )
    if split != its_split:
        raise BadInput(
            f"{reading.place}: {file} is in {its_split} (line {before}) and in {split} "
            f"(line {line})"
        )
    if (known.patient, known.source) != (group, source):
        known = replace(known, patient=known.patient or group, source=known.source or source)
        reading.seen[file] = (before, known, its_split)
    reading.repeated += 1


def _existing(reading: Reading, written: str, where: str) -> Path:
    """The file that a cell means."""
    root = reading.place.parent
    plain = written.strip()
    slashes = plain.replace("\\", "/")
    # A file system may have another form of Unicode than a spreadsheet.
    forms = (unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))
    for name in (written, plain, slashes, *forms):
        if os.path.isfile(root / name):  # noqa: PTH113 - False of a name that is too long, too
            as_written = slashes == plain or name in (written, plain)
            if not as_written and BACKSLASHES not in reading.ways:
                reading.ways.append(BACKSLASHES)
            return root / name
    raise BadInput(f"{where}: {plain} does not exist next to the table")
