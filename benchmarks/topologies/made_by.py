"""Of what a row was made: the same code, tools, settings and network give the same row again."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import benchmarks
import export
import pipeline
from export.publish.build_manifest import tool_versions
from pipeline.architecture_names import LISTS
from pipeline.json_files import to_json

if TYPE_CHECKING:
    from benchmarks.topologies.row import Settings
    from benchmarks.topologies.subjects import Subject

BENCHMARKS: Final = Path(str(benchmarks.__file__)).parent
CODE: Final = (
    Path(str(pipeline.__file__)).parent,
    Path(str(export.__file__)).parent,
    BENCHMARKS / "datasets",
    BENCHMARKS / "drawn_network.py",
    *(BENCHMARKS / "topologies" / name for name in ("run.py", "subjects.py", "verdict.py")),
)


def made_by(subject: Subject, side: int, settings: Settings) -> str:
    """A hash, as 16 hexadecimal digits."""
    what = {**asdict(subject), "checkpoint": None, **asdict(settings), "side": side}
    text = to_json({**what, "tools": tools(), "code": _code()})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def tools() -> dict[str, str]:
    """Versions of the packages that make networks and files, as far as they are installed."""
    libraries = {}
    for library in LISTS:
        try:
            libraries[library] = version(library)
        except PackageNotFoundError:
            continue
    return dict(sorted({**tool_versions(), **libraries}.items()))


@cache
def _code() -> str:
    found = hashlib.sha256()
    for place in CODE:
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            found.update(file.read_bytes())
    return found.hexdigest()
