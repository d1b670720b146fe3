"""What a file declares, and how far it may be from PyTorch: records for documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """How far an artifact may be from PyTorch.

    Attributes:
        max_abs_diff: largest allowed difference of any probability on any image.
        max_flip_rate: largest allowed share of images whose decided label differs, of those that
            are further from the threshold than what is allowed.
        reason: why these numbers.
        max_evidence_diff: largest allowed difference of evidence at any place, as a share of the
            largest evidence of the image (`export.deploy.outputs.evidence_diff`). A place is not
            averaged with others: rounding has many times more effect there than on probabilities.
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
    """One input or output as the file declares it; `shape` is () if the format hides it."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """What a file declares, read back from the file, not taken from the request.

    Attributes:
        inputs, outputs: in file order.
        metadata: the key-value pairs of `model_metadata`, as found in the file.
        labels: class names, from their own place in the format if it has one, else from metadata.
        requires: the oldest runtime or OS that loads it, and the versions it is written in.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: Mapping[str, str]
    labels: tuple[str, ...]
    requires: Mapping[str, str | int]
