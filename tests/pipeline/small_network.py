"""SqueezeNet's parts in small: what the tests of compression round, calibrate and fine-tune."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.squeezenet import Fire


class SmallNetwork(nn.Module):
    """Two fire modules between a convolution and a head: traced like the real one."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, kernel_size=3, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),
            Fire(8, 4, 8, 8),
            Fire(16, 4, 8, 8),
        )
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(16, classes, kernel_size=1))

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.mean(self.head(self.body(pixels)), dim=(2, 3))


def small_network(seed: int = 0, classes: int = 2) -> SmallNetwork:
    """In evaluation mode, with biases that are not zero."""
    generator = torch.Generator().manual_seed(seed)
    network = SmallNetwork(classes)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            spread = 0.1 if name.endswith("bias") else parameter[0].numel() ** -0.5 * 1.5
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return network.eval()


def smooth_images(batches: int = 4, size: int = 8, side: int = 32, seed: int = 0) -> list[Tensor]:
    """Batches (N, 3, side, side) of soft blobs: neighbouring pixels go together, as in a photo."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batches * size, 3, 6, 6, generator=generator)
    images = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    return list(images.split(size))


def logits(network: nn.Module, batches: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(pixels) for pixels in batches])
