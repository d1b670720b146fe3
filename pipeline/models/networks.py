"""The networks as plain torch modules with a K-way head. No fastai here.

In: an architecture's name and K. Out: a module, float32 (N, 3, H, W) normalised -> logits (N, K).
Each has `body` (pretrained features) and `head` (trained from scratch): the two stages of training.
The body is that of a library (`pipeline.models.bodies`). An adopted fastai learner has a different
kind of head, `PooledNetwork`; one that no library builds is kept whole, as a program
(`pipeline.models.program_network`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, fx, nn

from pipeline.architecture_names import ARCHITECTURES, canonical
from pipeline.errors import BadInput
from pipeline.models.batch_norm_folding import compressible_network
from pipeline.models.bodies import OWN, make_body
from pipeline.models.empty_weights import empty_weights
from pipeline.models.program_network import program_network, with_places

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint
    from pipeline.model_spec import Head


POOLS: Final = {"concat_pool": 2, "average_pool": 1}  # numbers per channel


class Network(nn.Module):
    """A body and a K-way head: dropout, a 1x1 convolution, a global average pool.

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
    """A body and fastai's head: global pools, then dense layers with ReLU between.

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


class FeatureNetwork(nn.Module):
    """A library's network without a plain global pool, its classifier replaced by a K-way one.

    Its features reach the classifier without places, so it has no map of evidence.
    """

    def __init__(self, body: nn.Module, features: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.body = body
        classifier = nn.Linear(features, classes)
        nn.init.normal_(classifier.weight, std=0.01)
        nn.init.zeros_(classifier.bias)
        self.head = nn.Sequential(nn.Dropout(dropout), classifier)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (N, 3, H, W) normalised -> logits (N, K)."""
        logits: Tensor = self.head(self.body(pixels))
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
    if isinstance(network, fx.GraphModule):
        return with_places(network)
    return EvidenceNetwork(network) if isinstance(network, Network) else network


NETWORKS: Final = ARCHITECTURES
TOPOLOGIES: Final = tuple(name for name in NETWORKS if name not in OWN)  # the paper's


def build_network(
    architecture: str, classes: int, head: Head | None = None
) -> Network | PooledNetwork | FeatureNetwork:
    """A freshly initialised network with `classes` outputs.

    Without `head` it is a `Network`, or a `FeatureNetwork` where the library's has no plain global
    pool. What the library's own network has between its pool and its classes (a dense layer and
    hard-swish of MobileNetV3, a layer norm of ConvNeXt) goes with its classifier, as in fastai's
    transfer learning: it was made for ImageNet's classes, and it cannot stand before the pool.

    Args:
        architecture: a name that `pipeline.architecture_names.canonical` knows.

    Raises:
        BadInput: no such architecture, or it has no body for such a head.
        MissingDependency: its library is not installed.
    """
    architecture = canonical(architecture)
    body = make_body(architecture, functions=head is None)
    if not body.places:
        if head is not None:
            raise BadInput(f"{architecture} has no places to pool: fastai's head does not fit it")
        return FeatureNetwork(body.module, body.channels, classes)
    if head is not None:
        return PooledNetwork(body.module, body.channels, head, classes)
    return Network(body.module, body.channels, classes)


def filled_network(
    state: Mapping[str, Tensor],
    architecture: str,
    classes: int,
    head: Head | None = None,
    *,
    folded: bool = False,
) -> nn.Module:
    """As `build_network`, with the tensors of `state` and in evaluation mode.

    `folded`: the state is that of the network without batch norms (`compressible_network`).

    No weights are drawn that are overwritten at once, unless the library also makes a buffer that
    no state holds in the way it makes weights.

    Raises:
        RuntimeError: the state's names or shapes are others.
    """

    def made() -> nn.Module:
        network = build_network(architecture, classes, head)
        return compressible_network(network) if folded else network

    with empty_weights():
        network = made()
    network.load_state_dict(state, assign=True)
    if any(buffer.is_meta for buffer in network.buffers()):
        with torch.random.fork_rng(devices=[]):
            network = made()
        network.load_state_dict(state, assign=True)
    return network.eval()


@cache
def require_size(architecture: str, height: int, width: int) -> None:
    """Raise `BadInput` if networks of this architecture do not take images of this size.

    One image goes through on the meta device: shapes alone. A few networks cannot run there; of
    those nothing is said.
    """
    with torch.device("meta"):
        network = build_network(architecture, classes=2).eval()
        try:
            network(torch.empty(1, 3, height, width))
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error) else type(error).__name__
            raise BadInput(
                f"{architecture} does not take images of {width}x{height} pixels: {reason}; give "
                "another --side"
            ) from error


def first_side(architecture: str, sides: Iterable[int]) -> int:
    """The first of `sides`, in pixels, whose squares networks of this architecture take.

    Raises:
        BadInput: they take none; said of the last one.
    """
    refused = BadInput(f"no side is given for {architecture}")
    for side in sides:
        try:
            require_size(architecture, side, side)
        except BadInput as error:
            refused = error
        else:
            return side
    raise refused


def load_network(checkpoint: Checkpoint) -> nn.Module:
    """The trained network of a checkpoint, in evaluation mode; of a compressed one the folded one.

    Raises:
        BadInput: the weights are damaged or do not fit architecture and label count.
    """
    program = checkpoint.program()
    if program is not None:
        return program_network(program)
    spec = checkpoint.spec
    weights = checkpoint.weights()
    try:
        args = weights, spec.architecture, len(spec.labels), spec.head
        return filled_network(*args, folded=spec.compression is not None)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BadInput(
            f"the weights in {checkpoint.folder} do not fit {spec.architecture} with "
            f"{len(spec.labels)} labels: {reason}"
        ) from error
