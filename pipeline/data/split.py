"""How images without a split of their own are split: as they were for a checkpoint's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.model_spec import ModelSpec


@dataclass(frozen=True)
class Split:
    """A way to split images, and what must not be torn apart.

    Attributes:
        seed, valid_fraction, group_column: as in `pipeline.data.dataset.read_dataset`.
    """

    seed: int = 2
    valid_fraction: float = 0.25
    group_column: str | None = None


def split_of(spec: ModelSpec) -> Split:
    """The split that a checkpoint was trained with: its images are to be read by the same."""
    return Split(
        int(spec.training.get("seed", Split.seed)),
        float(spec.training.get("valid_fraction", Split.valid_fraction)),
        spec.data.get("group_column"),
    )
