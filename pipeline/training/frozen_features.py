"""The frozen body's features of every image, computed once: the head then learns in seconds.

In: a network and fastai loaders of images. Out: fastai loaders of float32 (N, C, 1, 1), the body's
output averaged over its places; (N, C) of a body whose features have none. The head of a `Network`
averages too, and its convolution and the average commute. The images are taken as they are, without
augmentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastai.data.core import DataLoaders

    from pipeline.config import TrainConfig

LEAST_STD: Final = 1e-3  # of a channel that never answers


class HeadAlone(nn.Module):
    """A network's head on precomputed features: (N, C, 1, 1) or (N, C) -> logits (N, K).

    While it learns, each channel is standardised, so that all learn alike; `fold` then moves that
    into the head's convolution, which from then on reads the body's own output.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, head: nn.Sequential, features: Tensor) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("mean", features.mean(0, keepdim=True))
        self.register_buffer("std", features.std(0, keepdim=True) + LEAST_STD)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head((features - self.mean) / self.std)
        return torch.mean(logits, dim=(2, 3)) if logits.ndim == 4 else logits

    @torch.no_grad()
    def fold(self) -> None:
        """Change the last layer of the head (a 1x1 convolution or a linear one): same outputs."""
        classifier = self.head[-1]
        assert isinstance(classifier, nn.Conv2d | nn.Linear)
        assert classifier.bias is not None
        classifier.weight.div_(self.std)
        classifier.bias.sub_((classifier.weight * self.mean).flatten(1).sum(1))
        self.mean.zero_()
        self.std.fill_(1.0)


def feature_loaders(body: nn.Module, loaders: DataLoaders, config: TrainConfig) -> DataLoaders:
    """Fastai `DataLoaders` of the features and classes of both splits.

    Args:
        body: changed only if its batch norms never saw an image (`_needs_statistics`).
        loaders: of `pipeline.data.loaders`.
    """
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from torch.optim.swa_utils import update_bn
    from torch.utils.data import TensorDataset

    plain = loaders.train.new(shuffle=False, drop_last=False, after_batch=loaders.valid.after_batch)
    if _needs_statistics(body):
        update_bn((pixels.as_subclass(Tensor) for pixels, _ in plain), body)
    train, valid = (TensorDataset(*_features(body, split)) for split in (plain, loaders.valid))
    return DataLoaders(
        DataLoader(train, bs=config.batch_size, shuffle=True, num_workers=0),
        DataLoader(valid, bs=16 * config.batch_size, num_workers=0),
    )


def _features(body: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    body.eval()
    features, classes = [], []
    with torch.no_grad():
        for pixels, its in loader:
            found = body(pixels.as_subclass(Tensor))
            found = found.mean((2, 3), keepdim=True) if found.ndim == 4 else found
            features.append(found.contiguous())
            classes.append(its.as_subclass(Tensor))
    return torch.cat(features), torch.cat(classes)


def _needs_statistics(body: nn.Module) -> bool:
    """Batch norms of a random body hold mean 0 and variance 1, which is true of no layer of it."""
    norms = [module for module in body.modules() if isinstance(module, nn.BatchNorm2d)]
    return bool(norms) and not any(bool(norm.running_mean.any()) for norm in norms)  # type: ignore[union-attr]
