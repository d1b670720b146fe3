"""The scale and zero point of rounded activations: the range with the least squared error.

In: all values of a place, twice. Out: an affine scale of 8 bits (Jacob et al., CVPR 2018,
arXiv:1712.05877). Zero is always one of its codes: padding and ReLU are exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANT_MAX: Final = 255
BINS: Final = 2048
SHARES: Final = np.geomspace(
    1, 0.05, 40
)  # of the largest and of the smallest value, that are tried
ROUNDS: Final = 2
LEAST_RANGE: Final = 2.0**-14  # of values that are all zero


class Watch(nn.Module):
    """Stands at a place and looks: first at the extremes of what passes, then how often is what."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = 0.0, 0.0
        self.counts: NDArray[np.float64] | None = None

    def forward(self, values: Tensor) -> Tensor:
        if self.counts is None:
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))
        else:
            found = torch.histc(values.float(), BINS, self.low, self.high)
            self.counts += found.double().numpy()
        return values

    def count(self) -> None:
        """From now on count."""
        self.high = max(self.high, self.low + LEAST_RANGE)
        self.counts = np.zeros(BINS)

    def scale(self) -> tuple[float, int]:
        """Scale and zero point."""
        assert self.counts is not None
        edges = np.linspace(self.low, self.high, BINS + 1)
        return best_range((edges[1:] + edges[:-1]) / 2, self.counts, self.low, self.high)


def best_range(
    values: NDArray[np.float64], counts: NDArray[np.float64], low: float, high: float
) -> tuple[float, int]:
    """Scale and zero point with which `values`, each `counts` times, change least when rounded.

    Args:
        values, counts: (B,).
        low: of the values, at most 0; `high`: at least 0.
    """

    def error(start: float, end: float) -> float:
        scale, zero_point = affine(start, end)
        codes = np.clip(np.round(values / scale) + zero_point, 0, QUANT_MAX)
        return float(counts @ ((codes - zero_point) * scale - values) ** 2)

    start, end = low, high
    for _ in range(ROUNDS):  # one end after the other
        end = min(high * SHARES, key=lambda tried: error(start, tried)) if high > 0 else high
        start = min(low * SHARES, key=lambda tried: error(tried, end)) if low < 0 else low
    return affine(start, end)


def affine(low: float, high: float) -> tuple[float, int]:
    """The scale, a number of float32, and the zero point of a range."""
    scale = float(np.float32((high - low) / QUANT_MAX))
    return scale, min(max(round(-low / scale), 0), QUANT_MAX)
