"""``python -m export verify DIR``: does a pulled asset folder match its manifest?

In: an asset folder and, where an app pins it, the SHA-256 of its ``manifest.json``. Out: every
difference, not just the first: files missing, changed, extra or of the wrong kind, labels in
another order, a manifest that points out of the folder. With ``--golden`` also: what the files
output for the golden pack, run by the runtime that is installed here.

This is a standalone file, for the CI of an app: ``python verify.py DIR`` needs only
Python 3.9 or newer and its standard library, wherever the file lies; ``--golden`` uses onnxruntime
where it is installed. Nothing in the folder is imported, unpickled or written, no symbolic link in
it is followed, and no model is run whose hash differs from the manifest's.

Everything else is compared with the manifest. A damaged manifest does not match
``manifest.json.sha256`` next to it; if both were changed together, only the manifest's own SHA-256
shows it: pin it with ``--manifest-sha256``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import os
import re
import stat
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypedDict, Union

if TYPE_CHECKING:
    from typing import TypeGuard  # of Python 3.10

MANIFEST_FILE = "manifest.json"
SUM_FILE = "manifest.json.sha256"
LABELS_FILE = "labels.txt"
GOLDEN_FILE = "golden/golden.json"
README_FILE = "README.md"
# Allowed, though in no manifest: files of a desktop or a repository, which reach no app, and the
# folders that Gradle, Swift and npm write where a package is built in its own folder.
OF_OTHERS = (".DS_Store", ".git")
FOLDERS_OF_BUILDS = (".build", ".gradle", ".kotlin", ".swiftpm", "build", "node_modules")
NO_FILES = (MANIFEST_FILE, SUM_FILE, *OF_OTHERS)  # names that `files` cannot list
NO_ARTIFACTS = (LABELS_FILE, README_FILE, *NO_FILES)
BLOCK_BYTES = 1 << 20
MANIFEST_LIMIT_BYTES = 16 << 20  # a thousand times the size of a manifest
TEXT_LIMIT_BYTES = 1 << 20  # larger files are not searched for the cause of a difference
DESCRIPTION = """\
Compare a pulled asset folder with its manifest: every file there, unchanged, none extra, labels.txt
in the order of the outputs, no path or symbolic link out of the folder. Needs only the standard
library: an app's CI can run the one file export/verify.py with Python 3.9 or newer. With --golden
the ONNX and ORT files are also run on the golden pack, where onnxruntime is installed.
"""
EPILOG = """\
exit codes: 0 all as the manifest says (what was left out or not run is listed), 1 something differs
(everything is listed), 2 cannot be checked: no manifest, or one of an unknown schema
"""


@dataclass(frozen=True)
class Difference:
    """One thing that differs from the manifest.

    Attributes:
        kind: ``missing``, ``extra``, ``changed``, ``not a file``, ``not a folder``, ``link``,
            ``unreadable``, ``labels`` or ``manifest`` (it contradicts itself or leaves the folder).
        path: relative to the asset folder, forward slashes.
        message: what differs, with the numbers and, where it can be seen, the cause.
    """

    kind: str
    path: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """The result for a folder that could be checked.

    Attributes:
        model: name, version and checkpoint_sha256 as the manifest says.
        manifest_sha256: of manifest.json itself; an app pins it.
        files: how many files the manifest lists, without those left out.
        size_bytes: their sum.
        differences: sorted by path; empty: all as the manifest says.
        not_covered: files that are there and that the manifest does not list, by design.
        left_out: listed files that are not there and were not requested, sorted.
    """

    schema: int
    model: Mapping[str, str]
    manifest_sha256: str
    files: int
    size_bytes: int
    differences: tuple[Difference, ...]
    not_covered: tuple[str, ...]
    left_out: tuple[str, ...] = ()


class CannotCheck(Exception):
    """There is no manifest, or none of a known schema. `reasons`: everything that is wrong."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


# --- a manifest as JSON holds it ----------------------------------------------------------------


class FileDocument(TypedDict):
    """A listed file."""

    path: str
    size_bytes: int
    sha256: str


class PortDocument(TypedDict):
    """An input or output."""

    name: str
    dtype: str
    shape: list[int]


class ModelDocument(TypedDict):
    """The model."""

    name: str
    version: str
    architecture: str
    labels: list[str]
    positive: str | None
    threshold: float | None
    input: Mapping[str, object]
    checkpoint_sha256: str
    metrics: Mapping[str, object]
    intended_use: str


class ParityDocument(TypedDict):
    """The comparison with PyTorch."""

    status: str
    reason: str
    images: int
    max_abs_diff: float | None
    label_flips: int | None
    tolerance: Mapping[str, object] | None


class AccuracyDocument(TypedDict):
    """The comparison with the fp32 model."""

    source: str
    broken_limits: list[str]


class _LaterFields(TypedDict, total=False):
    """What not every schema has."""

    zipped_bytes: int
    checkpoint_sha256: str
    accuracy: AccuracyDocument | None
    session: Mapping[str, str | int]


class ArtifactDocument(_LaterFields):
    """An artifact."""

    format: str
    precision: str
    path: str
    size_bytes: int
    files: list[FileDocument]
    inputs: list[PortDocument]
    outputs: list[PortDocument]
    requires: Mapping[str, str | int]
    parity: ParityDocument
    latency_ms: Mapping[str, object] | None


class RejectedDocument(TypedDict):
    """What was made and not published."""

    format: str
    precision: str
    size_bytes: int
    accuracy: AccuracyDocument


class _LaterParts(TypedDict, total=False):
    """What not every schema has."""

    rejected: list[RejectedDocument]
    files: list[FileDocument]


class ManifestDocument(_LaterParts):
    """A manifest of any known schema."""

    schema: int
    model: ModelDocument
    artifacts: list[ArtifactDocument]
    tools: Mapping[str, str]


# --- the shape of a manifest --------------------------------------------------------------------


@dataclass(frozen=True)
class Items:
    """An array of at least `least` values of one shape."""

    of: Shape
    least: int = 0


@dataclass(frozen=True)
class Nullable:
    """A value of a shape, or null."""

    of: Shape


# A key of KINDS, an array, a value or null, or the fields of an object.
Shape = Union[str, Items, Nullable, Mapping[str, "Shape"]]  # noqa: UP007 - Python 3.9


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _sides(side: object) -> tuple[Any, Any]:
    """Height and width of what golden.json calls a side: a number of a square, else the two."""
    return (side[0], side[1]) if isinstance(side, list) and len(side) == 2 else (side, side)


def _is_object_of(value: object, *kinds: type) -> bool:
    return isinstance(value, dict) and all(
        isinstance(v, kinds) and not isinstance(v, bool) for v in value.values()
    )


KINDS: Mapping[str, Callable[[object], bool]] = {
    "a string": lambda value: isinstance(value, str),
    "true or false": lambda value: isinstance(value, bool),
    "an integer": _is_integer,
    "an integer of at least 0": lambda value: _is_integer(value) and value >= 0,
    "an integer of at least 1": lambda value: _is_integer(value) and value >= 1,
    "a number": _is_number,
    "a number between 0 and 1": lambda value: _is_number(value) and 0 < value < 1,
    "pass or not_run": lambda value: value in ("pass", "not_run"),
    "measured, recorded or parity": lambda value: value in ("measured", "recorded", "parity"),
    "an object": lambda value: isinstance(value, dict),
    "an object of strings": lambda value: _is_object_of(value, str),
    "an object of strings and integers": lambda value: _is_object_of(value, str, int),
    "a side, or height and width": lambda value: all(
        _is_integer(length) and length >= 1 for length in _sides(value)
    ),
    "a SHA-256 in lower case": lambda value: (
        isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None
    ),
    "two or more different strings": lambda value: (
        isinstance(value, list)
        and all(isinstance(item, str) for item in value)
        and len(value) == len(set(value)) >= 2
    ),
}
PORT: Mapping[str, Shape] = {"name": "a string", "dtype": "a string", "shape": Items("an integer")}
ACCURACY: Mapping[str, Shape] = {
    "source": "measured, recorded or parity",
    "limits": "an object",
    "broken_limits": Items("a string"),
}
MODEL: Mapping[str, Shape] = {
    "name": "a string",
    "version": "a string",
    "architecture": "a string",
    "labels": "two or more different strings",
    "positive": Nullable("a string"),
    "threshold": Nullable("a number between 0 and 1"),
    "input": {
        "name": "a string",
        "dtype": "a string",
        "layout": "a string",
        "channels": "a string",
        "width": "an integer of at least 1",
        "height": "an integer of at least 1",
        "resize": {"mode": "a string", "filter": "a string", "antialias": "true or false"},
    },
    "checkpoint_sha256": "a SHA-256 in lower case",
    "metrics": "an object",
    "intended_use": "a string",
}
FILE: Mapping[str, Shape] = {
    "path": "a string",
    "size_bytes": "an integer of at least 0",
    "sha256": "a SHA-256 in lower case",
}
ARTIFACT: Mapping[str, Shape] = {
    "format": "a string",
    "precision": "a string",
    "path": "a string",
    "size_bytes": "an integer of at least 1",
    "files": Items(FILE, least=1),
    "inputs": Items(PORT),
    "outputs": Items(PORT),
    "requires": "an object of strings and integers",
    "parity": {
        "status": "pass or not_run",
        "reason": "a string",
        "images": "an integer of at least 0",
        "max_abs_diff": Nullable("a number"),
        "mean_abs_diff": Nullable("a number"),
        "label_flips": Nullable("an integer"),
        "how": "a string",
        "parts": "an object of strings",
        "worst_image": Nullable("a string"),
        "sets": "an object",
        "tolerance": Nullable("an object"),
    },
    "latency_ms": Nullable("an object"),
}
REJECTED: Mapping[str, Shape] = {
    "format": "a string",
    "precision": "a string",
    "size_bytes": "an integer of at least 1",
    "accuracy": ACCURACY,
}
ARTIFACT_2: Mapping[str, Shape] = {
    **ARTIFACT,
    "checkpoint_sha256": "a SHA-256 in lower case",
    "accuracy": Nullable(ACCURACY),
    "session": "an object of strings and integers",
}
# Schema number -> the fields it needs. There may be others: a later release may add some without
# raising the number, which is raised when a field changes its meaning.
FIELDS: Mapping[int, Mapping[str, Shape]] = {
    1: {
        "schema": "an integer",
        "model": MODEL,
        "artifacts": Items(ARTIFACT, least=1),
        "tools": "an object of strings",
    },
    2: {
        "schema": "an integer",
        "model": MODEL,
        "artifacts": Items(ARTIFACT_2, least=1),
        "rejected": Items(REJECTED),
        "tools": "an object of strings",
    },
    3: {
        "schema": "an integer",
        "model": MODEL,
        "artifacts": Items({**ARTIFACT_2, "zipped_bytes": "an integer of at least 1"}, least=1),
        "files": Items(FILE),
        "rejected": Items(REJECTED),
        "tools": "an object of strings",
    },
}
# What apps are written for; a manifest with other values would have another schema number.
# `_resize_fault` looks at model.input.resize.
CONSTANTS: Mapping[str, object] = {
    "name": "image",
    "dtype": "uint8",
    "layout": "NHWC",
    "channels": "RGB",
}
FILLS = ("reflection", "border", "zeros")
# How an image becomes the input -> what else is said about it, and what that may be.
RESIZES: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "squish": {"margin": lambda value: _is_integer(value) and value >= 1},
    "crop": {},
    "pad": {"fill": lambda value: value in FILLS},
    "centre": {"fill": lambda value: value in FILLS},
}


def shape_faults(value: object, shape: Shape, where: str = "") -> list[str]:
    """All places where a JSON value does not have the expected shape, as sentences."""
    if isinstance(shape, Nullable):
        return [] if value is None else shape_faults(value, shape.of, where)
    if isinstance(shape, Items):
        if not isinstance(value, list) or len(value) < shape.least:
            return [f"{where} is not an array of at least {shape.least}"]
        return [
            fault
            for index, item in enumerate(value)
            for fault in shape_faults(item, shape.of, f"{where}[{index}]")
        ]
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return [f"{where or 'the manifest'} is not an object"]
        faults = []
        for name, inner in shape.items():
            place = f"{where}.{name}" if where else name
            if name in value:
                faults += shape_faults(value[name], inner, place)
            else:
                faults.append(f"{place} is missing")
        return faults
    return [] if KINDS[shape](value) else [f"{where} is not {shape}"]


def load_manifest(path: Path) -> tuple[ManifestDocument, str]:
    """Read a manifest of any known schema; return it and the SHA-256 of the file.

    Raises:
        CannotCheck: it is missing, not a regular file, not JSON (a key given twice or NaN is not
            JSON here), or not of a known schema: another number, or missing or wrong fields.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise CannotCheck(f"{path} is not a regular file")
        with path.open("rb") as file:
            content = file.read(MANIFEST_LIMIT_BYTES + 1)
    except OSError as error:
        raise CannotCheck(f"no manifest at {path}: {error.strerror}{_nearby(path)}") from error
    if len(content) > MANIFEST_LIMIT_BYTES:
        raise CannotCheck(f"{path} has more than {MANIFEST_LIMIT_BYTES} bytes: not a manifest")
    try:
        document = json.loads(
            content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        cause = _cause(content, "")
        raise CannotCheck(f"{path} is not JSON{cause or f': {error}'}") from error
    number = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(number, int) or isinstance(number, bool) or number not in FIELDS:
        *others, newest = FIELDS
        known = f"{', '.join(map(str, others))} and {newest}"
        raise CannotCheck(
            f"{path} has schema {_shown(repr(number))}, known here: {known}; take the verify.py of "
            "the release that the folder is from"
        )
    faults = shape_faults(document, FIELDS[number])
    if faults:
        raise CannotCheck(*(f"{path} is not of schema {number}: {fault}" for fault in faults))
    return document, hashlib.sha256(content).hexdigest()


def _nearby(path: Path) -> str:
    """Where the folder given contains asset folders: which one to give instead."""
    below = sorted(found.parent.name for found in path.parent.glob(f"*/{MANIFEST_FILE}"))
    return f"; did you mean {_shown(', '.join(below))} in it?" if below else ""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys are given once: readers disagree on which of two counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


# --- the folder ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """What the manifest says about a file; `part`: the artifact it belongs to, or itself."""

    size_bytes: int
    sha256: str
    part: str


def verify(folder: Path, manifest_sha256: str | None = None, only: Sequence[str] = ()) -> Verdict:
    """Compare a folder with its manifest; with `manifest_sha256`, also the manifest with that.

    With `only`, patterns as in a shell, just the artifacts, files and folders whose path matches
    one must be there. Everything that is there is checked, whether it matches or not.

    Raises:
        CannotCheck: no folder, no manifest, one of an unknown schema, or a pattern that matches
            nothing.
    """
    if not folder.is_dir():
        raise CannotCheck(f"no folder at {folder}")
    document, digest = load_manifest(folder / MANIFEST_FILE)
    wrong = _constant_faults(document)
    if wrong:
        raise CannotCheck(*(f"{folder / MANIFEST_FILE}: {fault}" for fault in wrong))
    if "files" not in FIELDS[document["schema"]]:
        document.pop("files", None)  # this schema has no such field
    listed, differences = _listed_files(document)
    checks = _checks(folder, document, digest, listed)
    _refuse_patterns_for_nothing(only, checks)
    if manifest_sha256 is not None and digest != manifest_sha256.lower():
        message = f"its SHA-256 is {digest}, pinned is {manifest_sha256.lower()}"
        differences.append(Difference("changed", MANIFEST_FILE, message))
    differences += _label_faults(document["model"])
    parents = {parent for path in listed for parent in _parents(path)}
    found = set()
    not_covered = []
    for path, mode in _entries(folder, parents, differences):
        found.add(path)
        if path in checks:
            differences += _no_file(path, mode) or checks[path]()
        elif path in parents:
            differences += _no_folder(path, mode)
        elif _is_of_others(path, mode):
            not_covered.append(path)
        elif path != MANIFEST_FILE:
            kind = "folder" if stat.S_ISDIR(mode) else "file"
            differences.append(Difference("extra", path, f"{kind} that is not in the manifest"))
    if "files" not in document:
        not_covered += {README_FILE} & found
    # An artifact is left out as a whole or not at all: one file of it requires the rest.
    begun = {entry.part for path, entry in listed.items() if path in found}
    absent = sorted(checks.keys() - found - ({README_FILE} - listed.keys()))
    left_out = [
        path
        for path in absent
        if only and not matches(path, only) and not (path in listed and listed[path].part in begun)
    ]
    missing = [path for path in absent if path not in left_out]
    differences += [Difference("missing", path, "not in the folder") for path in missing]
    model = document["model"]
    here = [entry for path, entry in listed.items() if path not in left_out]
    return Verdict(
        schema=document["schema"],
        model={
            "name": model["name"],
            "version": model["version"],
            "checkpoint_sha256": model["checkpoint_sha256"],
        },
        manifest_sha256=digest,
        files=len(here),
        size_bytes=sum(entry.size_bytes for entry in here),
        differences=tuple(sorted(differences, key=lambda d: (d.path, d.kind, d.message))),
        not_covered=tuple(sorted(not_covered)),
        left_out=tuple(left_out),
    )


def _checks(
    folder: Path, document: ManifestDocument, digest: str, listed: Mapping[str, Listed]
) -> dict[str, Callable[[], list[Difference]]]:
    """Path -> the check of the file there: of listed files, and of those no manifest lists."""

    def labels() -> list[Difference]:
        said = _compared_labels(folder, document["model"]["labels"])
        return said or ([] if LABELS_FILE not in listed else listed_file(LABELS_FILE))

    def listed_file(path: str) -> list[Difference]:
        return _compared(folder, path, listed[path])

    if "files" in document:
        others = {SUM_FILE: lambda: _compared_sum(folder, digest)}
    else:
        others = {README_FILE: list}
    return {**{path: partial(listed_file, path) for path in listed}, **others, LABELS_FILE: labels}


def _is_of_others(path: str, mode: int) -> bool:
    if path in FOLDERS_OF_BUILDS:
        return stat.S_ISDIR(mode)
    return path in OF_OTHERS and not stat.S_ISLNK(mode)


def _refuse_patterns_for_nothing(only: Sequence[str], paths: Iterable[str]) -> None:
    for pattern in only:
        if not any(matches(path, [pattern]) for path in paths):
            tops = sorted({path.split("/")[0] for path in paths})
            raise CannotCheck(
                f"--only {_shown(pattern)}: nothing of that name belongs to the folder; there are "
                + _shown(", ".join(tops))
            )


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern names the path or a folder that it lies in."""
    names = [path, *_parents(path)]
    return any(fnmatchcase(name, pattern.rstrip("/")) for name in names for pattern in patterns)


def unsafe(path: str) -> str:
    """Why a path of a manifest may not be opened below the asset folder; empty: it may."""
    if not path.isprintable():
        return "holds characters that do not print"
    if "\\" in path or ":" in path:
        return "holds a backslash or colon, which leave the folder on Windows"
    if path.startswith("/"):
        return "is absolute"
    parts = path.split("/")
    if ".." in parts:
        return "leaves the folder by .."
    if "" in parts or "." in parts:
        return "has an empty part or ."
    return ""


def _constant_faults(document: ManifestDocument) -> list[str]:
    found = document["model"]["input"]
    return [
        f"model.input.{name} is not {json.dumps(value)}"
        for name, value in CONSTANTS.items()
        if found[name] != value
    ] + _resize_faults(found["resize"])


def _resize_faults(resize: object) -> list[str]:
    """A way to resize that is unknown here: apps would prepare other pixels."""
    assert isinstance(resize, dict)
    more = RESIZES.get(str(resize["mode"]))
    if more is None:
        return [f"model.input.resize.mode is not one of {', '.join(RESIZES)}"]
    known = {"mode", "filter", "antialias", *more}
    stated = [name for name in more if name in resize]
    right = (
        resize["filter"] == "bilinear"
        and resize["antialias"] is True
        and set(resize) <= known
        and all(more[name](resize[name]) for name in stated)
        and ("fill" in more) == ("fill" in resize)
    )
    return [] if right else [f"model.input.resize is none of mode {resize['mode']}"]


def _label_faults(model: ModelDocument) -> list[Difference]:
    """Labels that labels.txt cannot hold, and a positive label that is not among them."""
    faults = [
        f"label {_shown(label)} is empty or holds a line break"
        for label in model["labels"]
        if label.splitlines() != [label]
    ]
    if model["positive"] is not None and model["positive"] not in model["labels"]:
        faults.append(f"positive {_shown(model['positive'])} is not among the labels")
    return [Difference("manifest", MANIFEST_FILE, fault) for fault in faults]


def _listed_files(document: ManifestDocument) -> tuple[dict[str, Listed], list[Difference]]:
    """The files that are safe to open, by path, and what is wrong with the list itself."""
    listed: dict[str, Listed] = {}
    faults = []

    def take(entry: FileDocument, part: str, reason: str) -> None:
        path = entry["path"]
        reason = unsafe(path) or reason or ("is listed twice" if path in listed else "")
        if reason:
            faults.append(Difference("manifest", path, f"path of a file {reason}"))
        else:
            listed[path] = Listed(entry["size_bytes"], entry["sha256"], part)

    roots = [artifact["path"] for artifact in document["artifacts"]]
    for artifact in document["artifacts"]:
        root = artifact["path"]
        reason = unsafe(root) or ("is not next to the manifest" if "/" in root else "")
        if reason:
            faults.append(Difference("manifest", root, f"path of an artifact {reason}"))
        for entry in artifact["files"]:
            reason = "is a name that the folder itself needs" * (entry["path"] in NO_ARTIFACTS)
            if not _is_within(entry["path"], root):
                reason = f"is not part of the artifact {_shown(root)}"
            take(entry, root, reason)
        total = sum(entry["size_bytes"] for entry in artifact["files"])
        if total != artifact["size_bytes"]:
            message = f"listed with {artifact['size_bytes']:,} bytes, its files have {total:,}"
            faults.append(Difference("manifest", root, message))
    for entry in document.get("files", ()):
        reason = "is a name that no listed file may have" * (entry["path"] in NO_FILES)
        if any(_is_within(entry["path"], root) for root in roots):
            reason = "is part of an artifact"
        take(entry, entry["path"], reason)
    if "files" in document and LABELS_FILE not in listed:
        faults.append(Difference("manifest", LABELS_FILE, "the manifest does not list it"))
    return listed, faults


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")


def _parents(path: str) -> list[str]:
    """``a/b/c`` -> ``a``, ``a/b``."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _entries(
    folder: Path, parents: set[str], differences: list[Difference]
) -> Iterator[tuple[str, int]]:
    """Path and mode of everything in the folder and in those of its folders in `parents`.

    Symbolic links are not followed; a folder that cannot be listed is added to `differences`.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as entries:
                found = [(e.name, e.stat(follow_symlinks=False).st_mode) for e in entries]
        except OSError as error:
            differences.append(Difference("unreadable", below or ".", str(error.strerror)))
            continue
        for name, mode in found:
            path = f"{below}/{name}" if below else name
            yield path, mode
            if stat.S_ISDIR(mode) and path in parents:
                waiting.append(path)


def _no_file(path: str, mode: int) -> list[Difference]:
    """What is there in place of a regular file; empty: it is one."""
    if stat.S_ISLNK(mode):
        return [Difference("link", path, "symbolic link; it is not followed")]
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
        return [Difference("not a file", path, f"{what} in place of a file")]
    return []


def _no_folder(path: str, mode: int) -> list[Difference]:
    """What is there in place of a folder; empty: it is one."""
    if stat.S_ISLNK(mode):
        return [Difference("link", path, "symbolic link; it is not followed")]
    if not stat.S_ISDIR(mode):
        message = "not a folder, but the manifest lists files in it"
        return [Difference("not a folder", path, message)]
    return []


def _compared(folder: Path, path: str, entry: Listed) -> list[Difference]:
    """Compare a regular file with its entry; a file of another size is not hashed."""
    try:
        found = (folder / path).stat().st_size
        if found != entry.size_bytes:
            message = f"{found:,} bytes, the manifest says {entry.size_bytes:,}"
        elif file_sha256(folder / path) != entry.sha256:
            message = "of the right size, but its SHA-256 is not the manifest's"
        else:
            return []
        if found <= TEXT_LIMIT_BYTES:
            message += _cause((folder / path).read_bytes(), entry.sha256)
    except OSError as error:
        return [Difference("unreadable", path, str(error.strerror))]
    return [Difference("changed", path, message)]


def _compared_sum(folder: Path, digest: str) -> list[Difference]:
    """Compare manifest.json.sha256, one line as sha256sum writes and checks it."""
    expected = f"{digest}  {MANIFEST_FILE}\n".encode()
    try:
        with (folder / SUM_FILE).open("rb") as file:
            content = file.read(TEXT_LIMIT_BYTES)
    except OSError as error:
        return [Difference("unreadable", SUM_FILE, str(error.strerror))]
    if content == expected:
        return []
    cause = _cause(content, hashlib.sha256(expected).hexdigest())
    message = f"does not say {digest}, which {MANIFEST_FILE} has: one of the two was changed{cause}"
    return [Difference("changed", SUM_FILE, message)]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as content:
        for block in iter(lambda: content.read(BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def _cause(content: bytes, sha256: str) -> str:
    """What Git did to the file, if that explains the difference; else empty."""
    if content.startswith(b"version https://git-lfs.github.com/spec/"):
        return " (it is a Git LFS pointer: `git lfs pull` fetches the file)"
    if hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() == sha256:
        return " (its line ends became Windows': `* -text` in .gitattributes keeps them)"
    return ""


def _compared_labels(folder: Path, labels: Sequence[str]) -> list[Difference]:
    """Compare labels.txt, which has one label per line, in the order of the outputs."""
    expected = "".join(f"{label}\n" for label in labels).encode("utf-8", "surrogatepass")
    try:
        with (folder / LABELS_FILE).open("rb") as file:
            content = file.read(len(expected) + TEXT_LIMIT_BYTES)
    except OSError as error:
        return [Difference("unreadable", LABELS_FILE, str(error.strerror))]
    if content == expected:
        return []
    said = content.decode("utf-8", "replace").splitlines()
    order = ", ".join(labels)
    if said == list(labels):
        digest = hashlib.sha256(expected).hexdigest()
        message = f"the right labels, but not one line end each{_cause(content, digest)}"
    elif sorted(said) == sorted(labels):
        message = f"in the order {', '.join(said)}; the outputs are in the order {order}"
    else:
        message = f"says {', '.join(said)[:200]}; the manifest says {order[:200]}"
    return [Difference("labels", LABELS_FILE, message)]


# --- the golden pack ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Replay:
    """The result of an artifact on the golden pack: ``pass``, ``fail`` or ``not run``, and why."""

    path: str
    status: str
    message: str


@dataclass(frozen=True)
class GoldenCase:
    """An image of the pack: height x width RGB bytes, and artifact path -> the K probabilities."""

    name: str
    pixels: bytes
    probs: Mapping[str, Sequence[float]]


class CaseDocument(TypedDict):
    """A case of golden.json."""

    name: str
    tensor: str
    tensor_sha256: str
    probs: Mapping[str, Sequence[float]]


class PackDocument(TypedDict):
    """The fields of golden.json that are read here."""

    schema: int
    model: Mapping[str, str]
    side: int | list[int]
    cases: list[CaseDocument]
    tolerances: Mapping[str, object]


class CannotReplay(Exception):
    """There is no golden pack as published, or no runtime for it."""


GOLDEN: Mapping[str, Shape] = {
    "schema": "an integer",
    "model": {"checkpoint_sha256": "a SHA-256 in lower case"},
    "side": "a side, or height and width",
    "cases": Items(
        {
            "name": "a string",
            "tensor": "a string",
            "tensor_sha256": "a SHA-256 in lower case",
            "probs": "an object",
        },
        least=1,
    ),
    "tolerances": "an object",
}
RUN_HERE = "onnxruntime"  # files that require it are run here


def replay(folder: Path, verdict: Verdict) -> tuple[Replay, ...]:
    """Give the golden pack's exact pixels to each artifact; compare its outputs with the pack's.

    Only artifacts without a difference in `verdict` are run. If an unchanged file outputs something
    else here, the runtime is at fault, not the pixels.
    """
    document, _ = load_manifest(folder / MANIFEST_FILE)
    wrong = {difference.path for difference in verdict.differences} | set(verdict.left_out)
    replays = []
    try:
        pack, cases = _golden_pack(folder, document, wrong)
        _import_runtime()
    except CannotReplay as stopped:
        return tuple(Replay(a["path"], "not run", str(stopped)) for a in document["artifacts"])
    for artifact in document["artifacts"]:
        path = artifact["path"]
        allowed = pack["tolerances"].get(path)
        if RUN_HERE not in artifact["requires"]:
            reason = "onnxruntime does not run it; `python -m export check` does"
        elif wrong & {path, *(entry["path"] for entry in artifact["files"])}:
            reason = "it is missing or changed"
        elif not _is_number(allowed) or any(path not in case.probs for case in cases):
            reason = "the golden pack has no answers for it"
        else:
            replays.append(_replay(folder, path, cases, pack["side"], allowed))
            continue
        replays.append(Replay(path, "not run", reason))
    return tuple(replays)


def _golden_pack(
    folder: Path, document: ManifestDocument, wrong: set[str]
) -> tuple[PackDocument, list[GoldenCase]]:
    listed = {entry["path"] for entry in document.get("files", ())}
    if GOLDEN_FILE not in listed:
        raise CannotReplay("the folder has no golden pack")
    if any(_is_within(path, GOLDEN_FILE.split("/")[0]) for path in wrong):
        raise CannotReplay("the golden pack is missing or changed")
    try:
        pack = json.loads((folder / GOLDEN_FILE).read_bytes())
        faults = shape_faults(pack, GOLDEN)
        if not faults and pack["schema"] != 1:
            faults = [f"schema {pack['schema']}, known here: 1"]
        if (
            not faults
            and pack["model"]["checkpoint_sha256"] != document["model"]["checkpoint_sha256"]
        ):
            faults = ["it is of another model"]
        cases = (
            [] if faults else [_golden_case(folder, pack, case, listed) for case in pack["cases"]]
        )
    except (OSError, ValueError) as error:
        faults = [str(error)]
    if faults:
        raise CannotReplay(f"{GOLDEN_FILE} cannot be used: {'; '.join(faults)}")
    return pack, cases


def _golden_case(
    folder: Path, pack: PackDocument, case: CaseDocument, listed: set[str]
) -> GoldenCase:
    path = case["tensor"]
    if path not in listed:
        raise ValueError(f"the manifest does not list {path}")
    pixels = png_pixels((folder / path).read_bytes(), pack["side"])
    if hashlib.sha256(pixels).hexdigest() != case["tensor_sha256"]:
        raise ValueError(f"{path}: the SHA-256 of its pixels is not the pack's")
    return GoldenCase(case["name"], pixels, case["probs"])


def _import_runtime() -> tuple[ModuleType, ModuleType]:
    """The modules numpy and onnxruntime; they are not part of Python and may be missing."""
    try:
        return importlib.import_module("numpy"), importlib.import_module("onnxruntime")
    except ImportError as error:
        raise CannotReplay(f"{error}: pip install onnxruntime") from error


def _replay(
    folder: Path, path: str, cases: Sequence[GoldenCase], side: object, allowed: float
) -> Replay:
    numpy, onnxruntime = _import_runtime()
    runtime = f"onnxruntime {onnxruntime.__version__}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    worst, where = 0.0, ""
    try:
        session = onnxruntime.InferenceSession(
            str(folder / path), options, providers=["CPUExecutionProvider"]
        )
        for case in cases:
            image = numpy.frombuffer(case.pixels, numpy.uint8).reshape(1, *_sides(side), 3)
            (probs,) = session.run(["probs"], {"image": image})
            expected = numpy.array([case.probs[path]], numpy.float32)
            if probs.shape != expected.shape:
                raise ValueError(f"{probs.size} probabilities, expected {expected.size}")
            difference = float(numpy.abs(probs - expected).max())
            if math.isnan(difference) or difference > worst:
                worst = math.inf if math.isnan(difference) else difference
                where = f" on {case.name}"
    except Exception as error:  # the runtime's errors have no common class
        return Replay(path, "fail", f"{runtime} cannot run it: {error}")
    said = f"{len(cases)} images by {runtime}, max |Δp| {worst:.1e}{where}, allowed {allowed:.1e}"
    return Replay(path, "pass" if worst <= allowed else "fail", said)


def png_pixels(content: bytes, side: object) -> bytes:
    """The ``height * width * 3`` bytes of a PNG file, rows first, R G B each.

    Only the kind of the golden pack: 8-bit RGB, not interlaced, of one `side`, or height and width
    (PNG specification, third edition, chapters 5, 9 and 11).

    Raises:
        ValueError: another kind of image, or a damaged one.
    """
    height, width = _sides(side)
    wanted = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:29] != b"IHDR" + wanted:
        raise ValueError(f"not a PNG of {width} x {height} pixels in 8-bit RGB")
    packed, at = b"", 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        if content[at + 4 : at + 8] == b"IDAT":
            packed += content[at + 8 : at + 8 + length]
        at += 12 + length
    stride = 3 * width
    try:
        lines = zlib.decompressobj().decompress(packed, height * (stride + 1))
    except zlib.error as error:
        raise ValueError(f"damaged PNG: {error}") from error
    if len(lines) != height * (stride + 1):
        raise ValueError("damaged PNG: rows are missing")
    pixels = bytearray()
    above = bytes(stride)
    for start in range(0, len(lines), stride + 1):
        above = _unfiltered(lines[start], lines[start + 1 : start + 1 + stride], above)
        pixels += above
    return bytes(pixels)


def _unfiltered(kind: int, line: bytes, above: bytes) -> bytes:
    """A row of RGB pixels from its filtered bytes and the row above it."""
    if kind >= len(FILTERS):
        raise ValueError(f"damaged PNG: there is no filter {kind}")
    row = bytearray(line)
    for i, up in enumerate(above):
        left, corner = (row[i - 3], above[i - 3]) if i >= 3 else (0, 0)
        row[i] = (row[i] + FILTERS[kind](left, up, corner)) & 255
    return bytes(row)


def _paeth(left: int, up: int, corner: int) -> int:
    """The one of the three that is nearest to left + up - corner; the first of equals."""
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


# Index: the number that a row begins with; value: what is added to each byte.
FILTERS: Sequence[Callable[[int, int, int], int]] = (
    lambda left, up, corner: 0,
    lambda left, up, corner: left,
    lambda left, up, corner: up,
    lambda left, up, corner: (left + up) // 2,
    _paeth,
)


# --- the command line ---------------------------------------------------------------------------


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `verify` to the command line of ``python -m export``."""
    parser = commands.add_parser(
        "verify",
        help="is a pulled asset folder whole and unchanged? needs no torch",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.set_defaults(command=serve_verify)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of both ``python -m export verify`` and ``python verify.py``."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="an asset folder")
    parser.add_argument(
        "--manifest-sha256",
        type=_sha256,
        metavar="HEX",
        help="the expected SHA-256 of manifest.json: pin it in the app",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="an artifact, file or folder that must be there (repeat it); everything else may be "
        "missing and is listed as left out: for an app that ships only a part",
    )
    parser.add_argument(
        "--golden",
        action="store_true",
        help="also run the ONNX and ORT files on the golden pack, by the installed onnxruntime",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit 1 also if --golden could not run something"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")


def serve_verify(options: argparse.Namespace) -> int:
    """Run the command and print its verdict; return the exit code."""
    try:
        verdict = verify(options.folder, options.manifest_sha256, options.only)
        replays = replay(options.folder, verdict) if options.golden else ()
    except CannotCheck as reason:
        if options.json:
            print(_json(options.folder, {"status": "cannot be checked", "reasons": reason.reasons}))
        else:
            for sentence in reason.reasons:
                print(f"error: {_shown(sentence)}", file=sys.stderr)
        return 2
    wrong = ("fail", "not run") if options.strict else ("fail",)
    differs = bool(verdict.differences) or any(played.status in wrong for played in replays)
    if options.json:
        status = "differs" if differs else "as it should be"
        golden = [asdict(played) for played in replays] if options.golden else None
        print(_json(options.folder, {"status": status, **asdict(verdict), "golden": golden}))
    else:
        _print_verdict(options.folder, verdict)
        for played in replays:
            _print(f"golden pack: {played.status}: {played.path}: {played.message}")
    return int(differs)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python verify.py``; return the exit code."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    return serve_verify(parser.parse_args(arguments))


def _sha256(given: str) -> str:
    if re.fullmatch("[0-9a-fA-F]{64}", given) is None:
        raise argparse.ArgumentTypeError(f"{given!r} is not 64 hexadecimal digits")
    return given


def _print_verdict(folder: Path, verdict: Verdict) -> None:
    """One line per difference, its kind first: no text of the folder can start a line of a log."""
    for difference in verdict.differences:
        _print(f"{difference.kind}: {difference.path}: {difference.message}")
    what = f"{verdict.model['name']} {verdict.model['version']}"
    if verdict.differences:
        count = len(verdict.differences)
        _print(
            f"{folder}: not {what} as its manifest says, {count} difference{'s' * (count > 1)}; "
            "pull the folder again, whole"
        )
    else:
        _print(
            f"{folder}: {what}, {verdict.files} files, {verdict.size_bytes:,} bytes, all as the "
            "manifest says"
        )
    if verdict.left_out:
        _print(f"left out by --only: {', '.join(by_top(verdict.left_out))}")
    if verdict.not_covered:
        _print(f"not covered by the manifest: {', '.join(verdict.not_covered)}")
    _print(f"SHA-256 of {MANIFEST_FILE}: {verdict.manifest_sha256}")


def by_top(paths: Sequence[str]) -> list[str]:
    """The files, those of a folder as one entry: ``golden (25 files)``."""
    tops = [path.split("/")[0] for path in paths]
    counts = {top: tops.count(top) for top in tops}
    return [
        top if top in paths else f"{top} ({n} file{'s' * (n > 1)})" for top, n in counts.items()
    ]


def _json(folder: Path, found: Mapping[str, object]) -> str:
    return json.dumps({"folder": str(folder), **found}, indent=2, sort_keys=True)


def _print(text: str) -> None:
    """Print one line on any console: characters that its encoding lacks are escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    print(_shown(text).encode(encoding, "backslashreplace").decode(encoding))


def _shown(text: str) -> str:
    """Text from the folder that is safe in a log: no control characters."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


if __name__ == "__main__":
    sys.exit(main())
