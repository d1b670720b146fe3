"""``python -m export budget DIR``: what the published files add to an app, against a limit.

In: an asset folder, and which of its artifacts an app ships. Out: for each its bytes, its bytes as
a download (zip with deflate, as in APK and IPA), and by how much it is over the limit.

A folder holds the same model many times. Unless told what an app ships, this counts the smallest
file of each format, which an app that wants a small one would take.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from export.publish.zipped_size import zipped_bytes
from export.verify import MANIFEST_FILE, ArtifactDocument, CannotCheck, load_manifest, unsafe
from pipeline.errors import BadInput
from pipeline.terminal.command_line import command_line

# What the paper promises of the model: less than half a megabyte.
MODEL_LIMIT_BYTES: Final = 500_000
UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "KIB": 2**10, "MIB": 2**20}
DESCRIPTION: Final = """\
Compare the artifacts of an asset folder with a limit in bytes. Without --only the smallest of each
format counts, with it every one that it names. Sizes: 500KB, 0.5MB, 512KiB, 500000.
"""
EPILOG: Final = """\
exit codes: 0 within the limits, 1 over one (which, and by how much), 2 the folder cannot be read
"""


@dataclass(frozen=True)
class Weight:
    """An artifact. `chosen`: compared with the limit; `over_bytes`: 0 if it is within."""

    format: str
    precision: str
    path: str
    size_bytes: int
    zipped_bytes: int
    chosen: bool
    over_bytes: int

    @property
    def key(self) -> str:
        """Format and precision."""
        return f"{self.format} {self.precision}"


@dataclass(frozen=True)
class Budget:
    """The weights of a folder, and the limits.

    Attributes:
        limit_bytes: of each chosen artifact.
        total_limit_bytes: of the download; None: no such limit.
        runtime_bytes: of the runtime in the download, as given; None: not stated.
        download_bytes: the chosen artifacts zipped, and the runtime.
    """

    weights: tuple[Weight, ...]
    limit_bytes: int
    total_limit_bytes: int | None
    runtime_bytes: int | None
    download_bytes: int

    @property
    def faults(self) -> list[str]:
        """One sentence for each size over its limit."""
        faults = [
            f"{weight.key} ({weight.path}) has {weight.size_bytes:,} bytes, "
            f"{weight.over_bytes:,} over the limit of {self.limit_bytes:,}"
            for weight in self.weights
            if weight.over_bytes
        ]
        total = self.total_limit_bytes
        if total is not None and self.download_bytes > total:
            faults.append(
                f"the download has {self.download_bytes:,} bytes, "
                f"{self.download_bytes - total:,} over the limit of {total:,}"
            )
        return faults


def weigh(
    folder: Path,
    limit_bytes: int = MODEL_LIMIT_BYTES,
    only: Sequence[str] = (),
    total_limit_bytes: int | None = None,
    runtime_bytes: int | None = None,
) -> Budget:
    """Weigh the artifacts in `folder`.

    `only`: patterns, each for a path, a format, a precision or both (``onnx w4``).

    Raises:
        BadInput: no manifest, a missing artifact, a pattern that matches nothing, or a limit of
            the download without `only`.
    """
    if not only and (total_limit_bytes is not None or runtime_bytes is not None):
        raise BadInput("--total and --runtime-bytes need --only: which files does the app ship?")
    try:
        document, _ = load_manifest(folder / MANIFEST_FILE)
    except CannotCheck as error:
        raise BadInput(str(error)) from error
    artifacts = document["artifacts"]
    for pattern in only:
        if not any(_is_named(artifact, [pattern]) for artifact in artifacts):
            names = ", ".join(f"{a['format']} {a['precision']}" for a in artifacts)
            raise BadInput(f"--only {pattern}: no such artifact in {folder}; there are {names}")
    sizes = [_sizes(folder, artifact["path"]) for artifact in artifacts]
    smallest: dict[str, int] = {}
    for artifact, (size_bytes, _) in zip(artifacts, sizes, strict=True):
        least = smallest.get(artifact["format"], size_bytes)
        smallest[artifact["format"]] = min(least, size_bytes)
    weights = []
    for artifact, (size_bytes, zipped) in zip(artifacts, sizes, strict=True):
        name, precision, path = artifact["format"], artifact["precision"], artifact["path"]
        chosen = _is_named(artifact, only) if only else size_bytes == smallest[name]
        over = max(size_bytes - limit_bytes, 0) if chosen else 0
        weights.append(Weight(name, precision, path, size_bytes, zipped, chosen, over))
    download = sum(weight.zipped_bytes for weight in weights if weight.chosen)
    return Budget(
        tuple(weights),
        limit_bytes,
        total_limit_bytes,
        runtime_bytes,
        download + (runtime_bytes or 0),
    )


def to_markdown(budget: Budget, only: Sequence[str]) -> str:
    """A table of all artifacts, their sum, and the verdict."""
    lines = [
        "| artifact | bytes | zipped | limit |",
        "| --- | ---: | ---: | --- |",
        *(
            f"| {weight.key} | {weight.size_bytes:,} | {weight.zipped_bytes:,} "
            f"| {_judged(weight)} |"
            for weight in budget.weights
        ),
        "",
    ]
    if only:
        runtime = budget.runtime_bytes
        what = "without the runtime" if runtime is None else f"{runtime:,} of them the runtime"
        lines += [f"Download: {budget.download_bytes:,} bytes, {what}.", ""]
    verdict = "; ".join(budget.faults) or f"within {budget.limit_bytes:,} bytes"
    return "\n".join([*lines, f"{'Over' if budget.faults else 'All'}: {verdict}", ""])


def parse_bytes(text: str) -> int:
    """``500KB`` -> 500000. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KM]?i?B?)", text.strip(), re.IGNORECASE)
    unit = found and found.group(2).upper()
    if not found or unit not in UNITS or float(found.group(1)) * UNITS[unit] < 1:
        raise ValueError(f"{text!r} is not a size; write it as 500KB, 0.5MB, 512KiB or 500000")
    return int(float(found.group(1)) * UNITS[unit])


def _is_named(artifact: ArtifactDocument, patterns: Sequence[str]) -> bool:
    name, precision = artifact["format"], artifact["precision"]
    names = (name, precision, f"{name} {precision}", artifact["path"])
    return any(fnmatchcase(said, pattern) for said in names for pattern in patterns)


def _sizes(folder: Path, path: str) -> tuple[int, int]:
    if unsafe(path):
        raise BadInput(f"{folder / MANIFEST_FILE}: path {path!r} {unsafe(path)}")
    place = folder / path
    if not place.exists():
        raise BadInput(f"{place} is missing; see `{command_line('export', 'verify', folder)}`")
    files = [p for p in place.rglob("*") if p.is_file()] if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files), zipped_bytes(place)


def _judged(weight: Weight) -> str:
    if not weight.chosen:
        return ""
    return f"over by {weight.over_bytes:,}" if weight.over_bytes else "within"
