"""The deploy graph: what a phone's bitmap holds goes in, probabilities come out.

image uint8 (N, H, W, 3) RGB -> normalise -> network -> softmax -> probs float32 (N, K).
Its outputs in PyTorch are the reference that every artifact is held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.networks import load_network

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.checkpoint import ModelSpec
    from pipeline.grid import Grid

INPUT_NAME = "image"
OUTPUT_NAME = "probs"


class DeployGraph(nn.Module):
    """Network with its preprocessing and softmax inside.

    The permutation of an NHWC input leaves a channels-last tensor, in which XNNPACK and oneDNN run
    convolutions several times faster; so layout is settled here, once, for every format.

    Attributes:
        grids: of the weights that lie on one, by their names in the network; formats encode these.
    """

    def __init__(
        self, network: nn.Module, spec: ModelSpec, grids: Mapping[str, Grid] | None = None
    ) -> None:
        super().__init__()
        self.pixels = PixelGraph(network, spec)
        self.grids = dict(grids or {})

    def forward(self, image: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) -> float32 (N, K)."""
        probs: Tensor = self.pixels(image.permute(0, 3, 1, 2).to(torch.float32))
        return probs


class PixelGraph(nn.Module):
    """The deploy graph behind its input cast: for formats that take an image type of their own."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.network = network
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            pixel_units = torch.tensor(values, dtype=torch.float64) * 255
            self.register_buffer(name, pixel_units.to(torch.float32).reshape(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (N, 3, H, W), 0..255 RGB -> float32 (N, K)."""
        logits: Tensor = self.network((pixels - self.mean) / self.std)
        return torch.softmax(logits, dim=1)


def build_graph(checkpoint: Path, spec: ModelSpec) -> DeployGraph:
    """The deploy graph of a checkpoint folder, in evaluation mode.

    Raises:
        BadInput: the weights are damaged or do not fit the spec.
    """
    return DeployGraph(load_network(checkpoint, spec), spec).eval()


def reference_probs(graph: DeployGraph, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """PyTorch's own answers: uint8 (N, H, W, 3) -> float32 (N, K)."""
    with torch.inference_mode():
        # One at a time: of 16 the activations leave the cache, and each takes half as long again.
        singles = (torch.from_numpy(image)[None] for image in images)  # numpy would stride N by 0
        probs = [graph(single).numpy() for single in singles]
    return np.concatenate(probs)


def example_input(spec: ModelSpec) -> Tensor:
    """A uint8 input (1, H, W, 3) to trace with; its values do not matter."""
    generator = torch.Generator().manual_seed(0)
    size = (1, spec.side, spec.side, 3)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
