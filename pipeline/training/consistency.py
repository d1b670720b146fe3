"""Training for the same answer to the same photograph, whatever filter has resized it.

Each step sees two versions of an image (`pipeline.data.resize_filters`) under the same
augmentation. To
the loss of both, averaged, comes a weight times the distance of the two answers: stability training
(Zheng et al., arXiv:1604.04326) with its distance made symmetric, half of KL(p, q) + KL(q, p).
Inside a batch the versions lie one after the other: (N, 3 F, H, W) as loaded, (N, 6, H, W) while it
is augmented, (2 N, 3, H, W) for the network, whose classes stay (N,).
"""

from __future__ import annotations

from typing import Any

import torch
from fastai.torch_core import TensorImage  # at run time: fastai evaluates the hints of a transform
from fastai.vision.augment import AffineCoordTfm, Transform
from torch import Tensor, nn
from torch.nn import functional


class FirstVersion(Transform):  # type: ignore[misc]
    """A batch transform: of all versions the first, (N, 3, H, W)."""

    order = 0  # before all others

    def encodes(self, images: TensorImage) -> TensorImage:
        return images[:, :3]


class DrawTwo(Transform):  # type: ignore[misc]
    """A batch transform: two different versions of each image, (N, 6, H, W)."""

    order = 0

    def encodes(self, images: TensorImage) -> TensorImage:
        return _drawn_two(images)


class Part(Transform):  # type: ignore[misc]
    """A batch transform: the two versions as images of their own, (2 N, 3, H, W)."""

    order = AffineCoordTfm.order + 20  # after augmentation, before the normalisation

    def encodes(self, images: TensorImage) -> TensorImage:
        return images.reshape(-1, 3, *images.shape[2:])


def _drawn_two(images: Any) -> Any:
    """uint8 (N, 3 F, H, W) -> (N, 6, H, W), two different ones each; (N, 3, H, W) stays."""
    count, channels, height, width = images.shape
    if channels == 3:
        return images
    versions = images.reshape(count, channels // 3, 3, height, width)
    drawn = torch.rand(count, channels // 3).argsort(dim=1)[:, :2]
    return versions[torch.arange(count)[:, None], drawn].reshape(count, 6, height, width)


class ConsistentLoss(nn.Module):
    """A loss of two versions an image; of one version, as in validation, it is the inner loss."""

    def __init__(self, inner: Any, weight: float) -> None:
        super().__init__()
        self.inner = inner
        self.weight = weight

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """float32 (2 N, K) or (N, K), int64 (N,) -> a number."""
        loss: Tensor = self.inner(logits, classes.repeat_interleave(len(logits) // len(classes)))
        if len(logits) == len(classes):
            return loss
        return loss + self.weight * _distance(logits[0::2], logits[1::2])


def _distance(logits: Tensor, others: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence, mean over the rows, in nats."""
    log_p, log_q = functional.log_softmax(logits, dim=1), functional.log_softmax(others, dim=1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1).mean() / 2
