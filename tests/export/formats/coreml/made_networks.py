"""Small networks of blocks that the released model lacks, drawn so that outputs vary."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.metadata import model_metadata
from export.formats.coreml import format as coreml_format
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.reference import Reference
from pipeline.model_spec import ModelSpec
from tests.conftest import make_spec

SIDE = 24
IDENTITY = "ab" * 32


class ChannelShuffle(nn.Module):
    """ShuffleNet's, which reads its sizes from the tensor."""

    def forward(self, x: Tensor) -> Tensor:
        images, channels, height, width = x.size()
        grouped = x.view(images, 2, channels // 2, height, width)
        return torch.transpose(grouped, 1, 2).reshape(images, channels, height, width)


class SamePadding(nn.Module):
    """TensorFlow's, whose sizes follow from the input's: more at the end than before."""

    def forward(self, x: Tensor) -> Tensor:
        both = [max((math.ceil(n / 2) - 1) * 2 + 3 - n, 0) for n in x.shape[-1:-3:-1]]
        return F.pad(x, [half for n in both for half in (n // 2, n - n // 2)])


class SqueezeAndExcitation(nn.Module):
    """Each channel times a gate, computed from the means of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = F.silu(self.inner(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.outer(squeezed))


class LayerScale(nn.Module):
    """ConvNeXt's block: depthwise, layer norm, linear, GELU, a scale a channel, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm, self.dense = nn.LayerNorm(channels, eps=1e-6), nn.Linear(channels, channels)
        self.gamma = nn.Parameter(torch.linspace(0.2, 0.8, channels))

    def forward(self, x: Tensor) -> Tensor:
        made = F.gelu(self.dense(self.norm(self.depthwise(x).permute(0, 2, 3, 1))))
        return x + (self.gamma * made).permute(0, 3, 1, 2)


class ScaledConvolution(nn.Module):
    """A convolution, then a scale a channel: coremltools would make one weight of both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mixed = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.linspace(0.2, 0.8, channels).reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.mixed(x) * self.gamma)


class Attention(nn.Module):
    """One head over all places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.mixed = nn.LayerNorm(channels), nn.Linear(channels, 3 * channels)

    def forward(self, x: Tensor) -> Tensor:
        places = self.norm(x.flatten(2).transpose(1, 2))
        query, key, value = self.mixed(places).chunk(3, dim=-1)
        weights = (query @ key.transpose(1, 2) * query.shape[-1] ** -0.5).softmax(-1)
        return x + (weights @ value).transpose(1, 2).reshape(x.shape)


class Pooled(nn.Module):
    """A body, a global mean, a linear layer."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(8, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(pixels).mean((2, 3)))
        return logits


BLOCKS = {
    "shuffle": lambda: nn.Sequential(nn.ReLU(), ChannelShuffle(), nn.Conv2d(8, 8, 3, groups=4)),
    "same padding": lambda: nn.Sequential(SamePadding(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU6()),
    "squeeze-and-excitation": lambda: nn.Sequential(SqueezeAndExcitation(8), nn.Hardswish()),
    "layer scale": lambda: LayerScale(8),
    "scaled convolution": lambda: ScaledConvolution(8),
    "attention": lambda: Attention(8),
}


def drawn(block: str) -> tuple[DeployGraph, ModelSpec]:
    """A stem, one of `BLOCKS` and a head, whose logits spread by 2 around 0."""
    torch.manual_seed(0)
    spec = make_spec(side=SIDE)
    network = Pooled(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), BLOCKS[block]())).eval()
    graph = DeployGraph(network, spec).eval()
    pixels = torch.from_numpy(hard_pixels()).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        logits = network((pixels - graph.pixels.mean) / graph.pixels.std)
        scale = 2 / logits.std(dim=0)
        network.head.weight.mul_(scale[:, None])
        network.head.bias.copy_((network.head.bias - logits.mean(dim=0)) * scale)
    return graph, spec


def hard_pixels() -> np.ndarray:
    """uint8 (N, SIDE, SIDE, 3)."""
    return np.stack(list(stress_images(SIDE).values()))


def reference(block: str) -> Reference:
    """The network of `drawn`, run on the hard images."""
    graph, spec = drawn(block)
    names = tuple(stress_images(SIDE))
    images = ParityImages(names, ("hard",) * len(names), hard_pixels(), "hard images")
    answers = reference_answers(graph, images.pixels)
    assert np.ptp(answers.probs[:, 0]) > 0.3
    return Reference(spec, IDENTITY, graph, images, answers)


def converted(block: str, precision: str, folder: Path) -> Path:
    """Its package."""
    graph, spec = drawn(block)
    path = folder / f"made_{precision}.mlpackage"
    coreml_format.convert(graph, spec, model_metadata(spec, IDENTITY), precision, path)
    return path
