"""Which image files a request means: files as they are given, and what lies in folders.

In: files and folders. Out: files, each once; and where the picture that belongs to each goes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

from pipeline.data.listing.folders import is_hidden
from pipeline.errors import BadInput
from pipeline.images import SUFFIXES


def paths_of(places: str | PathLike[str] | Iterable[str | PathLike[str]]) -> list[Path]:
    """One place or several, as paths."""
    return [Path(places)] if isinstance(places, str | PathLike) else [Path(p) for p in places]


def image_files(places: Sequence[Path]) -> list[Path]:
    """The files among `places`, and the image files below the folders among them, sorted by path.

    A file that is named is taken whatever its suffix is. Of a folder, what is hidden is left out,
    folders that are hidden too.

    Raises:
        BadInput: nothing is given, a place does not exist or is neither file nor folder, or a
            folder holds no image.
    """
    if not places:
        raise BadInput("no image is given; name image files, or folders of them")
    found: list[Path] = []
    for place in places:
        kind = kind_of(place)
        if kind == "nothing":
            raise BadInput(f"{place} does not exist; give an image file or a folder of images")
        if kind == "other":
            raise BadInput(f"{place} is neither a file nor a folder")
        found += _in_folder(place) if kind == "folder" else [place]
    return list(dict.fromkeys(found))


def kind_of(place: Path) -> Literal["file", "folder", "other", "nothing"]:
    """What is at a place. Raises BadInput if its name is bad or it is not for us to see."""
    try:
        mode = place.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except (OSError, ValueError) as error:
        raise BadInput(f"{place} cannot be read: {error}") from error
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


def _in_folder(folder: Path) -> list[Path]:
    images = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(is_hidden(part) for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not images:
        raise BadInput(f"{folder} holds no image file ({', '.join(sorted(SUFFIXES))})")
    return images


def places_below(folder: Path, paths: Sequence[Path], suffix: str = "") -> dict[Path, Path]:
    """Path -> its place below `folder`: its name plus `suffix`, in folders as the paths lie in.

    Files of the same name in two folders do not meet, nor do ``a.jpg`` and ``a.png``.
    """
    whole = {path: path.parent.resolve() / path.name for path in paths}
    root = os.path.commonpath([path.parent for path in whole.values()])
    return {
        path: folder / found.relative_to(root).with_name(f"{found.name}{suffix}")
        for path, found in whole.items()
    }
