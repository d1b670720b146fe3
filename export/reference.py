"""What every artifact is held against: PyTorch's network and its answers on the parity images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from torch import nn

from export.graph import DeployGraph, build_graph, reference_probs
from export.layers import Layer
from export.network_layers import network_layers, normalisation_layer
from export.parity_images import ParityImages, gather_images
from pipeline.checkpoint import ModelSpec, checkpoint_sha256, read_spec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Reference:
    """A checkpoint, run.

    Attributes:
        spec, checkpoint_sha256: what artifacts must say of themselves.
        graph: the deploy graph in evaluation mode.
        images: N images.
        probs: PyTorch's probabilities for them, float32 (N, K).
    """

    spec: ModelSpec
    checkpoint_sha256: str
    graph: DeployGraph
    images: ParityImages
    probs: NDArray[np.float32]

    @cached_property
    def layers(self) -> list[Layer]:
        """The network's weighted layers, batch norms folded, after its normalisation."""
        pixels = self.graph.pixels
        return [normalisation_layer(pixels), *network_layers(pixels, self.spec.side)]

    @property
    def folded(self) -> bool:
        """Whether converters fold batch norms, so that last digits of weights may differ."""
        return any(isinstance(module, nn.BatchNorm2d) for module in self.graph.modules())


def build_reference(checkpoint: Path, data: Path | None, image_limit: int) -> Reference:
    """Read a checkpoint folder and the parity images, and run one on the other.

    Raises:
        BadInput: a bad checkpoint, or data that cannot be read or are of other labels.
    """
    spec = read_spec(checkpoint)
    graph = build_graph(checkpoint, spec)
    images = gather_images(spec, data, image_limit)
    probs = reference_probs(graph, images.pixels)
    return Reference(spec, checkpoint_sha256(checkpoint), graph, images, probs)
