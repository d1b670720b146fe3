"""The networks of the bench: a SqueezeNet, and a ResNet with batch norms and dense layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from benchmarks.drawn_network import calibrate
from benchmarks.faults.bench import Bench, few_images, open_bench
from export.deploy.graph import DeployGraph, reference_answers
from export.parity.reference import Reference, References
from pipeline.checkpoint import open_checkpoint, write_checkpoint
from pipeline.model_spec import Head
from pipeline.models.networks import PooledNetwork, build_network
from tests.conftest import make_spec, write_network
from tests.export.conftest import (  # fixtures
    Model,
    artifacts,
    checkpoint,
    model,
    one_thread,
    shared,
)

__all__ = ["artifacts", "checkpoint", "model", "one_thread", "shared"]
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
    folder = tmp_path_factory.mktemp("small")
    spec = make_spec(name="small", head=HEAD)
    whole = ResNet(Bottleneck, [1, 1, 0, 0])
    body = [
        getattr(whole, part) for part in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")
    ]
    torch.manual_seed(0)
    network = calibrate(PooledNetwork(nn.Sequential(*body), 512, HEAD, len(spec.labels)), spec)
    # No checkpoint can name this architecture: the folder holds another one, and is not read.
    torch.manual_seed(0)
    write_network(folder / "checkpoint", make_spec())
    references = References(open_checkpoint(folder / "checkpoint"), few_images(spec.side))
    graph = DeployGraph(network, spec).eval()
    answers = reference_answers(graph, references.images.pixels)
    references.made["fp32"] = Reference(spec, "ab" * 32, graph, references.images, answers)
    return Bench(references, folder / "bench")


@pytest.fixture(scope="session")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A ResNet-34 of random weights with dense layers after its pools, as in an adopted learner."""
    folder = tmp_path_factory.mktemp("resnet")
    spec = make_spec(name="adopted", architecture="resnet34", head=HEAD)
    torch.manual_seed(0)
    network = calibrate(build_network(spec.architecture, len(spec.labels), spec.head), spec)
    (folder / "checkpoint").mkdir()
    write_checkpoint(folder / "checkpoint", spec, network.state_dict())
    return open_bench(folder / "checkpoint", folder / "bench")
