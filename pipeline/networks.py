"""The networks as plain torch modules with a K-way head. No fastai here.

In: an architecture's name and K. Out: a module, float32 (N, 3, H, W) normalised -> logits (N, K).
Each has `body` (pretrained features) and `head` (trained from scratch): the two stages of training.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from pipeline.checkpoint import read_weights
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.checkpoint import ModelSpec


class Network(nn.Module):
    """A body of torchvision and a K-way head: dropout, a 1x1 convolution, a global average pool.

    Pool and convolution commute, so for ResNet and DenseNet this is their own head (He et al.,
    arXiv:1512.03385; Huang et al., arXiv:1608.06993); before the pool stands a map of evidence
    for each class (class activation mapping, Zhou et al., arXiv:1512.04150). SqueezeNet 1.1
    (Iandola et al., arXiv:1602.07360) loses the ReLU after its last convolution: it would cut
    negative logits to zero and can leave a class of a small data set without gradient. VGG
    (Simonyan & Zisserman, arXiv:1409.1556) loses three dense layers of 120 million weights.
    """

    def __init__(self, body: nn.Module, features: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.body = body
        classifier = nn.Conv2d(features, classes, kernel_size=1)
        nn.init.normal_(classifier.weight, std=0.01)
        assert classifier.bias is not None
        nn.init.zeros_(classifier.bias)
        self.head = nn.Sequential(nn.Dropout(dropout), classifier)

    def evidence(self, pixels: Tensor) -> Tensor:
        """float32 (N, 3, H, W) normalised -> the logits' share of each place, (N, K, h, w)."""
        evidence: Tensor = self.head(self.body(pixels))
        return evidence

    def forward(self, pixels: Tensor) -> Tensor:
        return torch.mean(self.evidence(pixels), dim=(2, 3))  # (N, K)


def _features(model: nn.Module) -> nn.Module:
    """The body of SqueezeNet and VGG."""
    body = model.features
    assert isinstance(body, nn.Module)
    return body


def _until_fire6(model: nn.Module) -> nn.Module:
    """SqueezeNet without its last three fire modules.

    What they add to ImageNet's objects is not in an X-ray: on frozen bodies fire6 tells COVID-19
    better than fire9 does, at a third of the weights.
    """
    body = _features(model)
    assert isinstance(body, nn.Sequential)
    return body[:10]


def _resnet(model: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(list(model.named_children())[:-2]))  # less pool and classifier


def _densenet(model: nn.Module) -> nn.Module:
    features = OrderedDict(_features(model).named_children())
    return nn.Sequential(features | {"relu": nn.ReLU(inplace=True)})  # in torchvision's `forward`


@dataclass(frozen=True)
class Body:
    """How a body is made of torchvision's model.

    Attributes:
        model: torchvision's name of it.
        take: the body out of the whole model.
        channels: of its output.
        prefix: of its tensors' names in the state of the whole model.
    """

    model: str
    take: Callable[[nn.Module], nn.Module]
    channels: int
    prefix: str


BODIES: Final[Mapping[str, Body]] = {
    "squeezenet1_1": Body("squeezenet1_1", _features, 512, "features."),
    "squeezenet1_1_fire6": Body("squeezenet1_1", _until_fire6, 384, "features."),
    "resnet34": Body("resnet34", _resnet, 512, ""),
    "resnet152": Body("resnet152", _resnet, 2048, ""),
    "densenet169": Body("densenet169", _densenet, 1664, "features."),
    "vgg19_bn": Body("vgg19_bn", _features, 512, "features."),
}
NETWORKS: Final = tuple(BODIES)


def build_network(architecture: str, classes: int) -> Network:
    """A freshly initialised network with `classes` outputs.

    Raises:
        BadInput: no such architecture.
    """
    if architecture not in BODIES:
        raise BadInput(f"unknown architecture {architecture!r}; there are: {', '.join(NETWORKS)}")
    from torchvision.models import get_model

    body = BODIES[architecture]
    return Network(body.take(get_model(body.model, weights=None)), body.channels, classes)


def load_network(folder: Path, spec: ModelSpec) -> nn.Module:
    """The trained network of a checkpoint folder, in evaluation mode.

    Raises:
        BadInput: the weights are damaged or do not fit architecture and label count.
    """
    with torch.device("meta"):  # no random weights are drawn that would be overwritten at once
        network = build_network(spec.architecture, len(spec.labels))
    try:
        network.load_state_dict(read_weights(folder), assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(
            f"the weights in {folder} do not fit {spec.architecture} with {len(spec.labels)} "
            f"labels: {reason}"
        ) from error
    return network.eval()
