"""The blocks of networks made for phones, in small: one network for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.convnext import CNBlock, LayerNorm2d
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock

from pipeline.models.networks import Network
from tests.pipeline.small_network import smooth_images


class Gated(nn.Module):
    """Depthwise convolution, squeeze-and-excitation and hard-swish, as in MobileNetV3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.squeeze = nn.Conv2d(channels, 4, 1)
        self.excite = nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.norm(self.depthwise(x)))
        gate = F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.excite(gate))


class PreActivated(nn.Module):
    """Batch norms before ReLUs, which cannot be folded, and concatenation, as in DenseNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, 8, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)


class Averaged(nn.Module):
    """A residual block whose other branch is an average and a convolution, as in ResNet-D."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        self.shortcut = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)) + self.shortcut(self.pool(x)))


class Summed(nn.Module):
    """Branches added up from 0 on, as in MobileOne."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, channels, size, padding=size // 2, bias=False) for size in (1, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(sum(branch(x) for branch in self.branches))


def stem(*blocks: nn.Module, channels: int = 8) -> nn.Module:
    """Blocks behind a convolution, and 16 features."""
    first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
    last = nn.Sequential(nn.Conv2d(channels, 16, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(inplace=True), *blocks, last)


def convolutional_next(channels: int) -> nn.Module:
    return nn.Sequential(LayerNorm2d(channels), CNBlock(channels, 0.5, 0.0))


BODIES: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "depthwise": lambda: stem(InvertedResidual(8, 8, 1, 2), InvertedResidual(8, 8, 2, 2)),
    "residual": lambda: stem(BasicBlock(8, 8), BasicBlock(8, 8)),
    "average": lambda: stem(Averaged(8), Averaged(8)),
    "sums": lambda: stem(Summed(8), Summed(8)),
    "squeeze": lambda: stem(Gated(8), nn.Hardswish()),
    "layer norm": lambda: stem(convolutional_next(8)),
    "dense": lambda: stem(PreActivated(8), PreActivated(16), channels=24),
}


def small_block(kind: str, classes: int = 3) -> Network:
    """In evaluation mode, its batch norms with the statistics of smooth images."""
    torch.manual_seed(1)
    network = Network(BODIES[kind](), 16, classes)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
                module.momentum = None
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        nn.init.normal_(network.head[1].weight)
        network.train()
        network(torch.cat(smooth_images()))
    return network.eval()
