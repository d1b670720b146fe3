"""How many bits each layer gets, within a budget for all of them.

A layer with many weights often tolerates coarse steps better than one with few. So every layer
starts at the fewest levels; then, one at a time, the layer whose outputs gain most per added bit
gets the next finer grid, until the budget is spent. The error of a grid is the error of the layer's
outputs relative to their power, computed from the second moments of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.compress.gptq import input_moments, round_weight

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

CHOICES: Final = {1: 2, 3: 3, 7: 4, 127: 8}  # levels -> bits of a code, as formats store them


def allocate_levels(
    network: nn.Module, names: Sequence[str], batches: Sequence[Tensor], mean_bits: float, seed: int
) -> dict[str, int]:
    """Levels for each layer, from `CHOICES`, with at most `mean_bits` per weight on average.

    A layer that the network never calls gets none.

    Args:
        network: in evaluation mode; not changed.
        names: of its layers.
        batches: float32 (N, 3, H, W), normalised.
        mean_bits: the budget; at least the bits of the coarsest choice.
        seed: of the sampled positions.
    """
    weights = {n: p.detach().numpy() for n, p in network.named_parameters()}
    moments = input_moments(network, names, batches, seed)
    names = [name for name in names if name in moments]
    sizes = {name: weights[f"{name}.weight"].size for name in names}
    errors = {
        name: _errors(weights[f"{name}.weight"], of_inputs) for name, of_inputs in moments.items()
    }
    finer = dict(zip(CHOICES, list(CHOICES)[1:], strict=False))
    levels = dict.fromkeys(names, next(iter(CHOICES)))
    left = mean_bits * sum(sizes.values()) - sum(CHOICES[levels[n]] * sizes[n] for n in names)
    while True:
        steps = []
        for name, now in levels.items():
            if now in finer:
                cost = (CHOICES[finer[now]] - CHOICES[now]) * sizes[name]
                if cost <= left:
                    gain = errors[name][now] - errors[name][finer[now]]
                    steps.append((gain / cost, name, cost))
        if not steps:
            return levels
        _, name, cost = max(steps)
        levels[name] = finer[levels[name]]
        left -= cost


def _errors(weight: NDArray[np.float32], moments: NDArray[np.float64]) -> Mapping[int, float]:
    """Relative error of the layer's outputs for each choice of levels."""
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    moments_of = moments if moments.ndim == 3 else moments[None]
    power = _power(rows, moments_of)
    found = {}
    for levels in CHOICES:
        off = rows - round_weight(weight, moments, levels).weights().reshape(rows.shape)
        found[levels] = _power(off, moments_of) / power if power else 0.0
    return found


def _power(rows: NDArray[np.float64], moments: NDArray[np.float64]) -> float:
    """Of the outputs of weights (O, D) whose inputs have the moments (G, D, D)."""
    parts = rows.reshape(len(moments), -1, rows.shape[1])
    return float(np.sum((parts @ moments) * parts))
