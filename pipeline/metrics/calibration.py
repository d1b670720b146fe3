"""Calibrated probabilities: one temperature for all logits.

In: logits float (N, K) of images that were not trained on, and their classes. Out: the temperature
that makes softmax(logits / T) most likely (Guo et al., ICML 2017, arXiv:1706.04599). It changes no
order of probabilities within an image, so no label, and no AUROC of two classes. Divided into the
weights of a network's last layer it costs the exported graph nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

LEAST: Final = 0.05
LARGEST: Final = 20.0


def fit_temperature(logits: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """The temperature with the smallest mean cross-entropy, 0.05 to 20.

    For n images of a class the target is (n + 1) / (n + K), not 1 (Platt, 1999, for two classes):
    a network that decides all of these few images correctly is not always right.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    wide = logits.astype(np.float64)
    images, classes = wide.shape
    counts = np.bincount(truth, minlength=classes)[truth]
    targets = np.repeat(1 / (counts + classes), classes).reshape(images, classes)
    targets[np.arange(images), truth] = (counts + 1) / (counts + classes)

    def surprise(log_temperature: float) -> float:
        return float(-(targets * log_softmax(wide / np.exp(log_temperature), axis=1)).sum())

    found = minimize_scalar(surprise, bounds=(np.log(LEAST), np.log(LARGEST)), method="bounded")
    return float(np.exp(found.x))


def divide_logits(network: nn.Module, temperature: float) -> None:
    """Divide the last layer of `network.head` by `temperature`, in place."""
    import torch

    last = list(network.head.children())[-1]  # type: ignore[union-attr]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.div_(temperature)
