"""The environments: the other builds of their runtimes that the formats list, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from export.formats.facts import RuntimeBuild, Target
from export.formats.register import FORMATS

__all__ = ["ENVIRONMENTS", "Environment", "Target"]


@dataclass(frozen=True)
class Environment(RuntimeBuild):
    """A runtime build other than the one installed; `formats` are those whose files it runs."""

    formats: tuple[str, ...]


def _environment(build: RuntimeBuild) -> Environment:
    formats = tuple(name for name, facts in FORMATS.items() if build in facts.other_builds)
    return Environment(**vars(build), formats=formats)


_BUILDS: Final = dict.fromkeys(b for facts in FORMATS.values() for b in facts.other_builds)
ENVIRONMENTS: Final[Mapping[str, Environment]] = {
    build.name: _environment(build) for build in sorted(_BUILDS, key=lambda build: build.target)
}
