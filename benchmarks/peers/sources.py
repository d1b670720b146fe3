"""What the peers' conversions start from: the checkpoint's deploy graph, written once.

In: a checkpoint. Out: a folder with the plain ONNX file (uint8 NHWC in, not simplified), the traced
TorchScript file (float32 NCHW pixels 0..255 in), images and PyTorch's probabilities for them. Both
files return probabilities alone, with normalisation and softmax inside. Peers that convert from a
torch module rebuild it from the checkpoint, in their own environment.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from export.latency.answer_check import Expected
from pipeline.resize.notation import height_width
from pipeline.resize.rule import Size

if TYPE_CHECKING:
    from torch import Tensor, nn

NOISE_IMAGES: Final = 4
NOISE_SEED: Final = 0
ONNX_OPSET: Final = 17


@dataclass(frozen=True)
class PeerSources:
    """A folder of sources, and the files in it by name."""

    folder: Path
    checkpoint: Path
    side: Size

    @property
    def onnx(self) -> Path:
        """The deploy graph: uint8 (1, H, W, 3) -> float32 (1, K)."""
        return self.folder / "deploy.onnx"

    @property
    def torchscript(self) -> Path:
        """The graph after the cast: float32 (1, 3, H, W), 0..255 -> float32 (1, K)."""
        return self.folder / "pixels.pt"

    @property
    def images(self) -> Path:
        """Images to compare on, uint8 (N, H, W, 3)."""
        return self.folder / "images.npy"


def write_sources(sources: PeerSources) -> Expected:
    """Fill the folder; return the images with PyTorch's probabilities.

    Raises:
        BadInput: the weights are damaged or do not fit the spec.
    """
    import torch

    from export.deploy.graph import (
        INPUT_NAME,
        ProbsAlone,
        build_graph,
        example_input,
        reference_probs,
    )
    from export.deploy.outputs import PROBS
    from export.images.stress_images import stress_images
    from pipeline.atomic_files import make_folder
    from pipeline.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(sources.checkpoint)
    spec, graph = checkpoint.spec, build_graph(checkpoint)
    make_folder(sources.folder)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # both exporters are deprecated, and chosen on purpose on purpose
        torch.onnx.export(
            ProbsAlone(graph),
            (example_input(spec),),
            str(sources.onnx),
            opset_version=ONNX_OPSET,
            dynamo=False,
            input_names=[INPUT_NAME],
            output_names=[PROBS],
        )
        pixels = ProbsAlone(graph.pixels)
        traced = torch.jit.trace(pixels, example_pixels(spec.side))  # type: ignore[no-untyped-call]
        traced.save(str(sources.torchscript))
    rng = np.random.default_rng(NOISE_SEED)
    noise = rng.integers(0, 256, (NOISE_IMAGES, *spec.resize.size, 3), dtype=np.uint8)
    images = np.concatenate([noise, np.stack(list(stress_images(spec.side).values()))])
    np.save(sources.images, images)
    return Expected(sources.images.absolute(), reference_probs(graph, images))


def pixel_module(checkpoint: Path) -> nn.Module:
    """For converters that take a module: float32 (1, 3, H, W), 0..255 -> float32 (1, K)."""
    from export.deploy.graph import ProbsAlone, build_graph
    from pipeline.checkpoint import open_checkpoint

    return ProbsAlone(build_graph(open_checkpoint(checkpoint)).pixels)


def stock_module(checkpoint: Path) -> nn.Module:
    """The network as tutorials export it, with a softmax: normalised NCHW in, (1, K) out."""
    from torch import nn

    from pipeline.checkpoint import open_checkpoint
    from pipeline.models.networks import load_network

    network = load_network(open_checkpoint(checkpoint))
    return nn.Sequential(network, nn.Softmax(dim=1)).eval()


def example_pixels(side: Size) -> Tensor:
    """float32 (1, 3, H, W), 0..255, to trace with."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, *height_width(side), generator=generator) * 255
