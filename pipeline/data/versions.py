"""Batch transforms of images that are kept in several versions (`pipeline.data.resize_filters`).

Inside a batch the versions follow each other: (N, 3 F, H, W) as loaded, (N, 6, H, W) while it is
augmented, (2 N, 3, H, W) for the network; the classes stay (N,).
"""

from __future__ import annotations

import torch
from fastai.torch_core import TensorImage  # at run time: fastai evaluates the hints of a transform
from fastai.vision.augment import AffineCoordTfm, Transform
from torch import Tensor


class FirstVersion(Transform):  # type: ignore[misc]
    """A batch transform: only the first version, (N, 3, H, W)."""

    order = 0  # before all others

    def encodes(self, images: TensorImage) -> TensorImage:
        return images[:, :3]


class DrawTwo(Transform):  # type: ignore[misc]
    """A batch transform: two different versions of each image, (N, 6, H, W)."""

    order = 0

    def encodes(self, images: TensorImage) -> TensorImage:
        return _drawn_two(images)


class Part(Transform):  # type: ignore[misc]
    """A batch transform: the two versions as separate images, (2 N, 3, H, W)."""

    order = AffineCoordTfm.order + 20  # after augmentation, before the normalisation

    def encodes(self, images: TensorImage) -> TensorImage:
        return images.reshape(-1, 3, *images.shape[2:])


def _drawn_two(images: Tensor) -> Tensor:
    """uint8 (N, 3 F, H, W) -> (N, 6, H, W), two different versions each; (N, 3, H, W) stays."""
    count, channels, height, width = images.shape
    if channels == 3:
        return images
    versions = images.reshape(count, channels // 3, 3, height, width)
    drawn = torch.rand(count, channels // 3).argsort(dim=1)[:, :2]
    return versions[torch.arange(count)[:, None], drawn].reshape(count, 6, height, width)
