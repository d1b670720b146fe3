"""The networks as plain torch modules with a K-way head. No fastai here.

In: an architecture's name and K. Out: a module, float32 (N, 3, H, W) normalised -> logits (N, K).
Each has `body` (pretrained features) and `head` (trained from scratch): the two stages of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from pipeline.checkpoint import read_weights
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.checkpoint import ModelSpec


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 (Iandola et al., arXiv:1602.07360, and its 1.1 release) with a K-way head.

    The body is torchvision's. The head is dropout, a 1x1 convolution and a global average pool.
    Unlike the original there is no ReLU after the last convolution: it would cut negative logits
    to zero and can leave a class of a small data set without gradient.
    """

    def __init__(self, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_1

        self.body = squeezenet1_1(weights=None).features
        classifier = nn.Conv2d(512, classes, kernel_size=1)
        nn.init.normal_(classifier.weight, std=0.01)
        assert classifier.bias is not None
        nn.init.zeros_(classifier.bias)
        self.head = nn.Sequential(nn.Dropout(dropout), classifier)

    def forward(self, pixels: Tensor) -> Tensor:
        evidence = self.head(self.body(pixels))  # (N, K, h, w)
        return torch.mean(evidence, dim=(2, 3))  # (N, K)


NETWORKS: Final[Mapping[str, Callable[[int], nn.Module]]] = {
    "squeezenet1_1": SqueezeNet,
}


def build_network(architecture: str, classes: int) -> nn.Module:
    """A freshly initialised network with `classes` outputs.

    Raises:
        BadInput: no such architecture.
    """
    if architecture not in NETWORKS:
        raise BadInput(f"unknown architecture {architecture!r}; there are: {', '.join(NETWORKS)}")
    return NETWORKS[architecture](classes)


def load_network(folder: Path, spec: ModelSpec) -> nn.Module:
    """The trained network of a checkpoint folder, in evaluation mode.

    Raises:
        BadInput: the weights are damaged or do not fit architecture and label count.
    """
    network = build_network(spec.architecture, len(spec.labels))
    try:
        network.load_state_dict(read_weights(folder))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(
            f"the weights in {folder} do not fit {spec.architecture} with {len(spec.labels)} "
            f"labels: {reason}"
        ) from error
    return network.eval()
