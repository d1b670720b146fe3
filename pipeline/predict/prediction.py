"""One image's answer, and how probabilities become a label: the same for checkpoints and files.

In: probabilities (K,) of one image. Out: a `Prediction`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.json_files import JsonObject
from pipeline.metrics.classification import decide

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelRule:
    """How the probabilities of a model become a label.

    Attributes:
        labels: K names, in the order of the outputs.
        positive, threshold: as in `pipeline.model_spec.ModelSpec`; None: the most probable label.
    """

    labels: tuple[str, ...]
    positive: str | None
    threshold: float | None

    def index(self, probs: NDArray[np.floating[Any]]) -> int:
        """The class that probabilities (K,) decide for."""
        positive = None if self.positive is None else self.labels.index(self.positive)
        return int(decide(probs[None], positive, self.threshold)[0])

    def __str__(self) -> str:
        if self.positive is None:
            return "the most probable label decides"
        return f"{self.positive} from {self.threshold} on"


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image.

    Attributes:
        file: as it was given, or as it was found in a folder.
        label: what the model decides: with a threshold that is not always the most probable label.
        probs: label -> probability, in the order of the outputs; their sum is 1.
        heat_map: the picture that was written for it; None: not asked for, or no evidence.
    """

    file: Path
    label: str
    probs: Mapping[str, float]
    heat_map: Path | None = None

    @property
    def probability(self) -> float:
        """Of the label that is decided."""
        return self.probs[self.label]

    def most_probable(self, count: int) -> list[tuple[str, float]]:
        """The `count` most probable labels with their probabilities, falling."""
        return sorted(self.probs.items(), key=lambda item: -item[1])[:count]


def prediction_of(
    file: Path,
    probs: NDArray[np.floating[Any]],
    rule: LabelRule,
    heat_map: Path | None = None,
) -> Prediction:
    """The prediction that probabilities (K,), all of them finite, make.

    Raises:
        ValueError: a probability is NaN or infinite, or there are not K.
    """
    if probs.shape != (len(rule.labels),):
        raise ValueError(f"{probs.shape} probabilities for {len(rule.labels)} labels")
    if not np.isfinite(probs).all():
        raise ValueError("the probabilities are not finite numbers")
    named = dict(zip(rule.labels, map(float, probs), strict=True))
    return Prediction(file, rule.labels[rule.index(probs)], named, heat_map)


def name_of(path: Path) -> str:
    """A path for programs, as it is; bytes that are no UTF-8 are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def prediction_document(found: Prediction) -> JsonObject:
    """A prediction for programs."""
    return {
        "file": name_of(found.file),
        "label": found.label,
        "probs": dict(found.probs),
        "heat_map": None if found.heat_map is None else name_of(found.heat_map),
    }
