"""Images in folders: ``train/<label>/`` and ``valid/<label>/``, or ``<label>/`` alone.

In: a folder. Out: `Found`, with a note for whatever is in there and is not read.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.data.listing.labels import plain_label
from pipeline.data.listing.sample import Found, Sample, split_named
from pipeline.errors import BadInput
from pipeline.image_files.decoding import SUFFIXES

# Where systems and devices keep copies of images, besides names that begin with a dot.
SYSTEM_FOLDERS: Final = frozenset({"__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN"})
MOST_PLACES: Final = 3  # that a note names


@dataclass
class LeftOut:
    """What is in a folder and is not read.

    Attributes:
        hidden: images by folder: hidden ones, and those in hidden folders.
        unread: files by suffix and folder.
    """

    hidden: Counter[str] = field(default_factory=Counter)
    unread: dict[str, Counter[str]] = field(default_factory=dict)

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind."""
        found = [
            f"left out: {_files(counts, suffix)} (not read here)"
            for suffix, counts in sorted(self.unread.items())
        ]
        if self.hidden:
            found.append(f"left out: {_files(self.hidden, 'images')} (hidden)")
        return tuple(found)


def read_folder(place: Path) -> Found:
    """Find the images below `place`.

    Raises:
        BadInput: one of train and valid alone, two folders for one of them, or a name that cannot
            be a label's.
    """
    left_out = LeftOut()
    folders = _visible_folders(place, place, left_out)
    by_split = _split_folders(place, folders)
    if not by_split:
        samples = _labelled_images(folders, place, left_out)
        _note_stray(place, place, left_out)
        return Found(place.resolve().name, tuple(samples), notes=left_out.notes())
    samples, splits, notes = [], [], []
    for split, folder in by_split.items():
        within = _visible_folders(folder, place, left_out)
        found = _labelled_images(within, place, left_out)
        _note_stray(folder, place, left_out)
        samples += found
        splits += [split] * len(found)
    others = {folder.name: _count(folder) for folder in folders if folder not in by_split.values()}
    if beside := +Counter(others):  # + leaves out those that hold none
        notes.append(f"left out: {_files(beside, 'images')} (beside {' and '.join(by_split)})")
    return Found(
        place.resolve().name,
        tuple(samples),
        tuple(splits),
        "by folder",
        (*notes, *left_out.notes()),
    )


def _split_folders(place: Path, folders: list[Path]) -> dict[str, Path]:
    """Split -> its folder; empty: the folders are labels."""
    found: dict[str, Path] = {}
    for folder in folders:
        split = split_named(folder.name)
        if split in found:
            raise BadInput(
                f"{place}: {found[split].name}/ and {folder.name}/ both stand for {split}; "
                "keep one of them"
            )
        if split:
            found[split] = folder
    sides = found.keys() - {"train"}
    if "train" in found and sides:
        return {split: found[split] for split in ("train", "valid", "test") if split in found}
    if found.keys() & {"train", "valid"}:
        names = " and ".join(f"{found[split].name}/" for split in sorted(found))
        raise BadInput(f"{place} has {names} only; it needs both, or <label>/ folders alone")
    return {}  # a label may well be called test


def _labelled_images(folders: list[Path], root: Path, left_out: LeftOut) -> list[Sample]:
    samples = []
    for folder in folders:
        label = plain_label(folder.name)
        for path in sorted(_images(folder, root, left_out)):
            samples.append(Sample(path, path.relative_to(root).as_posix(), label))
    return samples


def _images(folder: Path, root: Path, left_out: LeftOut) -> list[Path]:
    """The images in `folder` and below; the rest is counted."""
    found = []
    where = folder.relative_to(root).as_posix()
    for top, folders, files in os.walk(folder, onerror=_refuse_unreadable):
        at = Path(top)
        for name in [name for name in folders if is_hidden(name)]:
            folders.remove(name)
            _count_hidden(at / name, root, left_out)
        linked = sum((at / name).is_symlink() for name in folders)
        if linked:  # they are not walked into
            left_out.unread.setdefault("links to folders", Counter())[where] += linked
        for name in files:
            suffix = os.path.splitext(name)[1]  # noqa: PTH122 - ten times faster, for many files
            readable = suffix.lower() in SUFFIXES
            if is_hidden(name):
                left_out.hidden[where] += readable
            elif readable and (at / name).is_file():
                found.append(at / name)
            else:
                kind = suffix or "without a suffix"
                left_out.unread.setdefault(kind, Counter())[where] += 1
    left_out.hidden += Counter()  # without those that count nothing
    return found


def _visible_folders(place: Path, root: Path, left_out: LeftOut) -> list[Path]:
    folders = sorted(path for path in place.iterdir() if path.is_dir())
    for folder in folders:
        if is_hidden(folder.name):
            _count_hidden(folder, root, left_out)
    return [folder for folder in folders if not is_hidden(folder.name)]


def _note_stray(place: Path, root: Path, left_out: LeftOut) -> None:
    """Images beside the labels' folders have no label."""
    stray = sum(
        path.suffix.lower() in SUFFIXES and not is_hidden(path.name) and path.is_file()
        for path in place.iterdir()
    )
    if stray:
        where = place.relative_to(root).as_posix()
        named = "beside the folders of labels" if where == "." else f"beside the labels in {where}"
        left_out.unread.setdefault(f"images {named}", Counter())[""] += stray


def _count_hidden(folder: Path, root: Path, left_out: LeftOut) -> None:
    if count := _count(folder):
        left_out.hidden[folder.relative_to(root).as_posix()] += count


def _count(folder: Path) -> int:
    """Images in a folder and below."""
    return sum(
        os.path.splitext(name)[1].lower() in SUFFIXES  # noqa: PTH122 - as above
        for _, _, files in os.walk(folder)
        for name in files
    )


def _refuse_unreadable(error: OSError) -> None:
    raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error


def is_hidden(name: str) -> bool:
    """Whether a name is of what people do not see: copies that systems and devices keep."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def _files(counts: Counter[str], kind: str) -> str:
    """``20 .HEIC in cat``: how many of a kind, and where."""
    places = [f" in {place}" for place in sorted(counts) if place]
    if len(places) > MOST_PLACES:
        places = [f" in {len(places)} folders"]
    count = counts.total()
    one = kind.replace("images", "image", 1).replace("links to", "link to") if count == 1 else kind
    return f"{count} {one}{','.join(places)}"
