"""The networks of the bench: a SqueezeNet, and a small one for each kind of block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from benchmarks.drawn_network import calibrate
from benchmarks.faults.bench import Bench, few_images, open_bench
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.half_weights import halved_graph
from export.parity.reference import Reference, References
from pipeline.checkpoint import open_checkpoint
from pipeline.model_spec import Head
from pipeline.models.networks import Network, PooledNetwork
from tests.conftest import make_spec, write_network
from tests.export.conftest import (  # fixtures
    Model,
    artifacts,
    checkpoint,
    model,
    one_thread,
)

__all__ = ["artifacts", "checkpoint", "model", "one_thread"]
HEAD = Head("concat_pool", (16,))


def resnet() -> nn.Module:
    """Residual blocks of all four stages, and dense layers as in an adopted learner."""
    return pooled(ResNet(BasicBlock, [2, 1, 1, 1]))


def depthwise() -> nn.Module:
    """ReLU6, depthwise convolutions, linear bottlenecks."""
    blocks = [[1, 8, 1, 1], [3, 12, 2, 2], [3, 16, 1, 2]]
    body = MobileNetV2(width_mult=1, inverted_residual_setting=blocks, round_nearest=4).features
    return Network(body, 1280, 2)


def squeeze_and_excitation() -> nn.Module:
    """Hard-swish, and gates behind depthwise convolutions."""
    blocks = [
        InvertedResidualConfig(8, 3, 16, 8, True, "RE", 2, 1, 1),
        InvertedResidualConfig(8, 3, 24, 16, True, "HS", 2, 1, 1),
        InvertedResidualConfig(16, 5, 24, 16, True, "HS", 1, 1, 1),
    ]
    return Network(MobileNetV3(blocks, 64).features, 96, 2)


def layer_norm() -> nn.Module:
    """ConvNeXt: layer norms, linear layers on channels that stand last, layer scales, GELU."""
    stages = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 1)]
    return Network(ConvNeXt(stages).features, 24, 2)


# One line a network: the faults of the table are planted in each.
NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "residual": resnet,
    "depthwise": depthwise,
    "squeeze and excitation": squeeze_and_excitation,
    "layer norm": layer_norm,
}


@pytest.fixture(scope="session")
def squeezenet(
    model: Model,
    artifacts: Mapping[tuple[str, str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Bench:
    """The tiny SqueezeNet and its compressed variants."""
    return open_bench(model.folder, tmp_path_factory.mktemp("squeezenet"), artifacts)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Two blocks with batch norms, and dense layers after their pools."""
    network = pooled(ResNet(Bottleneck, [1, 1, 0, 0]))
    return bench_of(network, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    """Name in `NETWORKS` -> its bench, opened when it is first asked for."""

    @cache
    def opened(name: str) -> Bench:
        torch.manual_seed(0)
        return bench_of(NETWORKS[name](), tmp_path_factory.mktemp("kind"))

    return opened


@pytest.fixture(scope="session", params=NETWORKS)
def of_a_kind(request: pytest.FixtureRequest, kinds: Callable[[str], Bench]) -> Bench:
    """Each of `NETWORKS`."""
    return kinds(request.param)


def pooled(whole: ResNet) -> PooledNetwork:
    """A body with the stages that `whole` has, and a head of dense layers."""
    stages = [stage for i in range(1, 5) if len(stage := getattr(whole, f"layer{i}"))]
    body = nn.Sequential(whole.conv1, whole.bn1, whole.relu, whole.maxpool, *stages)
    with torch.no_grad():
        features = body.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    torch.manual_seed(0)
    return PooledNetwork(body, features, HEAD, 2)


def bench_of(network: nn.Module, folder: Path) -> Bench:
    """The bench of a network that no checkpoint can name; calibrated here."""
    head = HEAD if isinstance(network, PooledNetwork) else None
    spec = make_spec(name="of_a_kind", head=head)
    network = calibrate(network, spec)
    # The folder holds another network, and is not read.
    torch.manual_seed(0)
    write_network(folder / "checkpoint", make_spec())
    references = References(open_checkpoint(folder / "checkpoint"), few_images(spec.side))
    graph = DeployGraph(network, spec).eval()
    for variant, of in (("fp32", graph), ("fp16", halved_graph(graph))):
        answers = reference_answers(of, references.images.pixels[:])
        references.made[variant] = Reference(spec, "ab" * 32, of, references.images, answers)
    return Bench(references, folder / "bench")
