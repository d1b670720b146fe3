"""The networks as plain torch modules with a K-way head. No fastai here.

In: an architecture's name and K. Out: a module, float32 (N, 3, H, W) normalised -> logits (N, K).
Each has `body` (pretrained features) and `head` (trained from scratch): the two stages of training.
An adopted fastai learner has a different kind of head, `PooledNetwork`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint
    from pipeline.model_spec import Head


POOLS: Final = {"concat_pool": 2, "average_pool": 1}  # numbers per channel


class Network(nn.Module):
    """A body of torchvision and a K-way head: dropout, a 1x1 convolution, a global average pool.

    Pool and convolution commute, so for ResNet and DenseNet this is their own head (He et al.,
    arXiv:1512.03385; Huang et al., arXiv:1608.06993); before the pool is a map of evidence
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


class PooledNetwork(nn.Module):
    """A body of torchvision and fastai's head: global pools, then dense layers with ReLU between.

    The result of `fastai.vision.learner.create_head`, its batch norms folded into the dense layers
    and its dropout removed: for an adopted learner, which is trained already.
    """

    def __init__(self, body: nn.Module, features: int, head: Head, classes: int) -> None:
        super().__init__()
        self.body = body
        self.pool = head.pool
        sizes = [features * POOLS[head.pool], *head.hidden, classes]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.head = nn.Sequential(*layers[:-1])

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (N, 3, H, W) normalised -> logits (N, K)."""
        features = self.body(pixels)  # (N, C, h, w)
        pooled = torch.mean(features, dim=(2, 3))
        if self.pool == "concat_pool":
            # Not `cat`: torch's quantisation would give both inputs one scale, which moves int8
            # probabilities by 0.03.
            pooled = torch.concat([torch.amax(features, dim=(2, 3)), pooled], dim=1)  # (N, 2 C)
        logits: Tensor = self.head(pooled)
        return logits


class EvidenceNetwork(nn.Module):
    """A `Network` that also outputs its evidence, with the same weight names."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.body, self.head = network.body, network.head
        self.train(network.training)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (N, 3, H, W) normalised -> logits (N, K), evidence (N, K, h, w)."""
        evidence = self.head(self.body(pixels))
        return torch.mean(evidence, dim=(2, 3)), evidence


def with_evidence(network: nn.Module) -> nn.Module:
    """The network with its evidence as an output, if it has any; otherwise unchanged."""
    return EvidenceNetwork(network) if isinstance(network, Network) else network


def _features(model: nn.Module) -> nn.Module:
    """The body of SqueezeNet, VGG and DenseNet."""
    body = model.features
    assert isinstance(body, nn.Module)
    return body


def _until_fire6(model: nn.Module) -> nn.Module:
    """SqueezeNet without its last three fire modules.

    They recognise ImageNet's objects, which an X-ray does not show: on frozen bodies fire6 detects
    COVID-19 better than fire9 does, at a third of the weights.
    """
    body = _features(model)
    assert isinstance(body, nn.Sequential)
    return body[:10]


def _resnet(model: nn.Module) -> nn.Module:
    return nn.Sequential(OrderedDict(list(model.named_children())[:-2]))  # no pool, no classifier


@dataclass(frozen=True)
class Body:
    """How to make a body from torchvision's model.

    Attributes:
        model: torchvision's name of it.
        take: whole model -> body.
        channels: of its output.
        prefix: of its tensors' names in the state of the whole model.
        relu: torchvision's `forward` applies a ReLU next, which is not a module. It belongs to the
            body of `Network`; fastai omits it.
        zero_residuals: in random weights each residual branch starts as zero (Goyal et al.,
            arXiv:1706.02677, section 5.1), so that a network of any depth starts as a shallow one.
    """

    model: str
    take: Callable[[nn.Module], nn.Module]
    channels: int
    prefix: str
    relu: bool = False
    zero_residuals: bool = False


BODIES: Final[Mapping[str, Body]] = {
    "squeezenet1_1": Body("squeezenet1_1", _features, 512, "features."),
    "squeezenet1_1_fire6": Body("squeezenet1_1", _until_fire6, 384, "features."),
    "resnet34": Body("resnet34", _resnet, 512, "", zero_residuals=True),
    "resnet152": Body("resnet152", _resnet, 2048, "", zero_residuals=True),
    "densenet169": Body("densenet169", _features, 1664, "features.", relu=True),
    "vgg19_bn": Body("vgg19_bn", _features, 512, "features."),
}
NETWORKS: Final = tuple(BODIES)
TOPOLOGIES: Final = tuple(name for name in NETWORKS if BODIES[name].model == name)  # whole ones


def build_network(
    architecture: str, classes: int, head: Head | None = None
) -> Network | PooledNetwork:
    """A freshly initialised network with `classes` outputs; without `head` a `Network`.

    Raises:
        BadInput: no such architecture.
    """
    if architecture not in BODIES:
        raise BadInput(f"unknown architecture {architecture!r}; there are: {', '.join(NETWORKS)}")
    from torchvision.models import get_model

    made = BODIES[architecture]
    options = {"zero_init_residual": True} if made.zero_residuals else {}
    body = made.take(get_model(made.model, weights=None, **options))
    if head is not None:
        return PooledNetwork(body, made.channels, head, classes)
    if made.relu:
        body = nn.Sequential(OrderedDict(body.named_children()) | {"relu": nn.ReLU(inplace=True)})
    return Network(body, made.channels, classes)


def load_network(checkpoint: Checkpoint) -> nn.Module:
    """The trained network of a checkpoint, in evaluation mode.

    Raises:
        BadInput: the weights are damaged or do not fit architecture and label count.
    """
    spec = checkpoint.spec
    with torch.device("meta"):  # do not draw random weights that are overwritten at once
        network = build_network(spec.architecture, len(spec.labels), spec.head)
    try:
        network.load_state_dict(checkpoint.weights(), assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(
            f"the weights in {checkpoint.folder} do not fit {spec.architecture} with "
            f"{len(spec.labels)} labels: {reason}"
        ) from error
    return network.eval()
