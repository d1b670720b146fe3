"""What charts draw: a dataclass for each kind of mark; its fields are the names in Vega-Lite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """Images of an artifact with low <= |Δp| < high."""

    artifact: str
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class Limit:
    """The largest |Δp| of an artifact, and what is allowed; None: unknown."""

    artifact: str
    largest: float
    allowed: float | None

    @property
    def broken(self) -> bool:
        """Whether the largest is more than allowed."""
        return bool(self.allowed) and self.largest > (self.allowed or 0)


@dataclass(frozen=True)
class FilePoint:
    """A file: latency is the median at one thread."""

    artifact: str
    format: str
    precision: str
    size_bytes: int
    latency_ms: float | None
    auroc: float | None


@dataclass(frozen=True)
class EpochPoint:
    """A figure after an epoch."""

    epoch: float
    series: str
    value: float


@dataclass(frozen=True)
class RocPoint:
    """A point of a ROC curve, the `order`th."""

    series: str
    precision: str
    false_positive_rate: float
    true_positive_rate: float
    order: int


@dataclass(frozen=True)
class ReliabilityPoint:
    """A bin of a reliability diagram; see `pipeline.metrics.classification.ReliabilityBin`."""

    series: str
    precision: str
    low: float
    high: float
    images: int
    mean_prob: float
    share: float


@dataclass(frozen=True)
class ImagePoint:
    """|Δp| of an artifact on an image."""

    image: str
    artifact: str
    format: str
    precision: str
    diff: float


@dataclass(frozen=True)
class Share:
    """A share with its interval, and its limit if there is one."""

    name: str
    value: float
    low: float
    high: float
    limit: float | None


@dataclass(frozen=True)
class Bar:
    """A value; `group` gives its colour."""

    name: str
    group: str
    value: float
