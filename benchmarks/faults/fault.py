"""What a fault is: a name, a way to plant it, and the parts of the check that must catch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.faults.bench import Artifact, Bench
    from export.parity.reference import Reference

PLAIN: Final = ("fp32", "fp16")  # precisions made from the checkpoint itself


class DoesNotApply(Exception):
    """The network or the artifact has no such place. The message says which place."""


@dataclass(frozen=True)
class Pair:
    """A file and what it is compared with, one of them wrong."""

    path: Path
    reference: Reference


Plant = Callable[["Bench", "Artifact", "Path"], Pair]  # the folder, for files, is empty
Where = Callable[["Artifact"], str]  # why a fault is not planted there; empty: it is planted


def anywhere(artifact: Artifact) -> str:
    """In every format and precision."""
    return ""


def precisions(reason: str, *names: str) -> Where:
    """Only in these precisions, for this reason."""
    return lambda artifact: "" if artifact[1] in names else reason


def formats(reason: str, *names: str) -> Where:
    """Only in these formats, for this reason."""
    return lambda artifact: "" if artifact[0] in names else reason


@dataclass(frozen=True)
class Fault:
    """One way to be wrong or, as a control, one way to differ without being wrong.

    Attributes:
        name: in words.
        plant: makes the pair that the check must reject. Raises DoesNotApply.
        by: parts of the check that must catch it; others may too.
        where: the artifacts that can have it.
        says: pattern that the reason must match.
    """

    name: str
    plant: Plant
    by: tuple[str, ...] = ()
    where: Where = anywhere
    says: str = ""
