"""What a file says of itself, and how far it may be from PyTorch: records that documents hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from PyTorch.

    Attributes:
        max_abs_diff: largest allowed difference of any probability on any image.
        max_flip_rate: largest allowed share of images whose decided label differs.
        reason: why these numbers.
        max_evidence_diff: largest allowed difference of evidence at any place, as a share of the
            largest evidence of the image (`export.deploy.outputs.evidence_diff`). A place has no
            others to average with: rounding does many times more there than to probabilities.
    """

    max_abs_diff: float
    max_flip_rate: float
    reason: str
    max_evidence_diff: float = 1e-4


@dataclass(frozen=True)
class FileEntry:
    """One file of an asset folder; `path` is relative to it, with forward slashes."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Port:
    """One input or output as the file declares it; `shape` is () where the format hides it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """What a file says of itself, read back from the file and not from what was asked for.

    Attributes:
        inputs, outputs: in file order.
        metadata: the key-value pairs of `model_metadata`, as found in the file.
        labels: class names where the format has a place of its own for them, else from metadata.
        requires: the least runtime or OS that loads it, and the versions it is written in.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str]
    labels: tuple[str, ...]
    requires: Mapping[str, str | int]
