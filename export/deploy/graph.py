"""The deploy graph: from the pixels of a phone's bitmap to probabilities and their evidence.

image uint8 (N, H, W, 3) RGB -> normalise -> body and head -> evidence float32 (N, K, h, w)
-> mean over h and w -> softmax -> probs float32 (N, K).
A network whose head pools before its dense layers has no evidence map: it outputs probs alone.
The outputs in PyTorch are the reference with which every artifact is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from export.deploy.outputs import EVIDENCE, PROBS, Answers, gathered
from pipeline.models.networks import load_network, with_evidence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.checkpoint import Checkpoint
    from pipeline.model_spec import ModelSpec
    from pipeline.quantization_grid import Grid

INPUT_NAME: Final = "image"
OUTPUT_NAMES: Final = (PROBS, EVIDENCE)

Outputs = Tensor | tuple[Tensor, Tensor]  # probs (N, K), or with evidence (N, K, h, w)


class DeployGraph(nn.Module):
    """Network with its preprocessing and softmax inside.

    Permuting an NHWC input gives a channels-last tensor, in which XNNPACK and oneDNN run
    convolutions several times faster; this settles the layout once, for every format.

    Attributes:
        grids: of the weights on one, by their names in the network; formats encode these.
    """

    def __init__(
        self, network: nn.Module, spec: ModelSpec, grids: Mapping[str, Grid] | None = None
    ) -> None:
        super().__init__()
        self.pixels = PixelGraph(network, spec)
        self.grids = dict(grids or {})

    def forward(self, image: Tensor) -> Outputs:
        """uint8 (N, H, W, 3) -> probs, or probs and evidence."""
        outputs: Outputs = self.pixels(image.permute(0, 3, 1, 2).to(torch.float32))
        return outputs


class PixelGraph(nn.Module):
    """The deploy graph after its input cast: for formats with an image type of their own."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.network = with_evidence(network)
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            pixel_units = torch.tensor(values, dtype=torch.float64) * 255
            self.register_buffer(name, pixel_units.to(torch.float32).reshape(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Outputs:
        """float32 (N, 3, H, W), 0..255 RGB -> probs, or probs and evidence."""
        return self.answer((pixels - self.mean) / self.std)

    def answer(self, normalised: Tensor) -> Outputs:
        """float32 (N, 3, H, W), normalised -> probs, or probs and evidence."""
        return to_outputs(self.network(normalised))


class ProbsAlone(nn.Module):
    """A graph without its evidence output, for callers that want probabilities alone.

    It takes the same input as the graph.
    """

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.whole = graph  # coremltools takes an attribute `graph` for torch's own
        self.train(graph.training)  # the mode that exporters restore when they are done

    def forward(self, image: Tensor) -> Tensor:
        """Image or pixels -> probs, float32 (N, K)."""
        return listed(self.whole(image))[0]


def to_outputs(given: Outputs) -> Outputs:
    """A graph's outputs from its network's: logits (N, K), or logits and evidence."""
    if not isinstance(given, tuple):
        return torch.softmax(given, dim=1)
    logits, evidence = given
    # Contiguous in memory too: runtimes on phones return a channels-last tensor as it lies there,
    # and an app would confuse classes with places.
    return torch.softmax(logits, dim=1), evidence.contiguous()


def build_graph(checkpoint: Checkpoint) -> DeployGraph:
    """The deploy graph of a checkpoint, in evaluation mode.

    Raises:
        BadInput: the weights are damaged or do not fit the spec.
    """
    return DeployGraph(load_network(checkpoint), checkpoint.spec).eval()


def reference_answers(graph: nn.Module, images: NDArray[np.uint8]) -> Answers:
    """PyTorch's own outputs of a deploy graph for uint8 (N, H, W, 3)."""
    with torch.inference_mode():
        # One at a time: the activations of 16 exceed the cache, and each takes half as long again.
        singles = (torch.from_numpy(image)[None] for image in images)  # numpy would stride N by 0
        return gathered([tensor.numpy() for tensor in listed(graph(single))] for single in singles)


def reference_probs(graph: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """PyTorch's own probabilities: uint8 (N, H, W, 3) -> float32 (N, K)."""
    return reference_answers(graph, images).probs


def output_shapes(graph: nn.Module, spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Name -> shape for one image, for each output of the graph in order."""
    with torch.inference_mode():
        outputs = listed(graph(example_input(spec)))
    return {name: tuple(o.shape) for name, o in zip(OUTPUT_NAMES, outputs, strict=False)}


def listed(outputs: Outputs) -> tuple[Tensor, ...]:
    """One output or two, as a tuple."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


def example_input(spec: ModelSpec) -> Tensor:
    """A uint8 input (1, H, W, 3) to trace with; its values do not matter."""
    generator = torch.Generator().manual_seed(0)
    size = (1, *spec.resize.size, 3)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator)
