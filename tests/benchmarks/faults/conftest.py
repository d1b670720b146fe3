"""The networks of the bench: a SqueezeNet, and a ResNet with batch norms and dense layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from benchmarks.drawn_network import calibrate
from benchmarks.faults.bench import Bench, few_images, open_bench
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.half_weights import halved_graph
from export.parity.reference import Reference, References
from pipeline.checkpoint import open_checkpoint
from pipeline.model_spec import Head
from pipeline.models.networks import PooledNetwork
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
    return pooled_bench(ResNet(Bottleneck, [1, 1, 0, 0]), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Residual blocks of all four stages, and dense layers as in an adopted learner."""
    return pooled_bench(ResNet(BasicBlock, [2, 1, 1, 1]), tmp_path_factory.mktemp("resnet"))


def pooled_bench(whole: ResNet, folder: Path) -> Bench:
    """The bench of a body with the stages that `whole` has, and a head of dense layers."""
    spec = make_spec(name="pooled", head=HEAD)
    stages = [stage for i in range(1, 5) if len(stage := getattr(whole, f"layer{i}"))]
    body = nn.Sequential(whole.conv1, whole.bn1, whole.relu, whole.maxpool, *stages)
    with torch.no_grad():
        features = body.eval()(torch.zeros(1, 3, spec.side, spec.side)).shape[1]
    torch.manual_seed(0)
    network = calibrate(PooledNetwork(body, features, HEAD, len(spec.labels)), spec)
    # No checkpoint can name this architecture: the folder holds another one, and is not read.
    torch.manual_seed(0)
    write_network(folder / "checkpoint", make_spec())
    references = References(open_checkpoint(folder / "checkpoint"), few_images(spec.side))
    graph = DeployGraph(network, spec).eval()
    for variant, of in (("fp32", graph), ("fp16", halved_graph(graph))):
        answers = reference_answers(of, references.images.pixels[:])
        references.made[variant] = Reference(spec, "ab" * 32, of, references.images, answers)
    return Bench(references, folder / "bench")
