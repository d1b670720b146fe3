"""What a network computes from images: features, probabilities, evidence.

In: a network of `pipeline.models.networks`, samples. Out: `Readout`, a row per sample. The evidence
map is the class activation map (Zhou et al., arXiv:1512.04150), exact here: its mean is the logit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.data.preprocessing import network_input

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pipeline.data.dataset import Sample
    from pipeline.model_spec import ModelSpec

BATCH_SIZE: Final = 16
NO_BODY: Final = "the network has no body whose output could be looked at"
NO_MAP: Final = (
    "the network's head keeps no map of evidence: it mixes all places before it decides between "
    "the labels"
)


@dataclass(frozen=True)
class Readout:
    """The results for N images.

    Attributes:
        features: float32 (N, C), the body's output averaged over all places; None: no such body.
        probs: float32 (N, K).
        contrast: float32 (N, h, w): with a positive label the evidence for it minus the other's,
            whichever the image's own label is; without, the evidence for the image's own label
            minus the mean of the others. In logits: the mean of a map is what it adds to the
            decision. None: the head keeps no map.
    """

    features: NDArray[np.float32] | None
    probs: NDArray[np.float32]
    contrast: NDArray[np.float32] | None


def read_out(network: nn.Module, samples: Sequence[Sample], spec: ModelSpec) -> Readout:
    """Run `network`, which is in evaluation mode, over `samples`.

    Raises:
        BadInput: an image cannot be read.
    """
    import torch

    evidence: Callable[[Tensor], Tensor] | None = getattr(network, "evidence", None)
    device = next(network.parameters()).device
    network.eval()
    features: list[NDArray[np.float32]] = []
    probs, contrasts = [], []
    with torch.inference_mode(), _pooled_output(network, features):
        for i in range(0, len(samples), BATCH_SIZE):
            batch = samples[i : i + BATCH_SIZE]
            pixels = network_input(batch, spec).to(device)
            if evidence is None:
                probs.append(network(pixels).softmax(1).cpu().numpy())
                continue
            maps = evidence(pixels)  # (B, K, h, w)
            probs.append(maps.mean(dim=(2, 3)).softmax(1).cpu().numpy())
            own = [spec.labels.index(sample.label) for sample in batch]
            contrasts.append(_contrast(maps.cpu().numpy(), own, spec.positive_index))
    return Readout(
        features=np.concatenate(features) if features else None,
        probs=np.concatenate(probs),
        contrast=np.concatenate(contrasts) if contrasts else None,
    )


@contextmanager
def _pooled_output(network: nn.Module, features: list[NDArray[np.float32]]) -> Iterator[None]:
    """Make each pass through the body append its features (B, C) to `features`."""

    def keep(_body: nn.Module, _pixels: object, output: Tensor) -> None:
        pooled = output.mean(dim=(2, 3)) if output.ndim == 4 else output
        features.append(pooled.cpu().numpy())

    body = getattr(network, "body", None)
    if body is None:
        yield
        return
    hook = body.register_forward_hook(keep)
    try:
        yield
    finally:
        hook.remove()


def _contrast(
    maps: NDArray[np.float32], own: Sequence[int], positive: int | None
) -> NDArray[np.float32]:
    favoured = np.asarray(own if positive is None else [positive] * len(own))
    chosen = maps[np.arange(len(maps)), favoured]
    others = (maps.sum(axis=1) - chosen) / (maps.shape[1] - 1)
    return np.asarray(chosen - others, dtype=np.float32)
