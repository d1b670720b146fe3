"""A network with fastai's head, converted to each format and compared with PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.deploy.graph import PixelGraph
from export.images.stress_images import stress_images
from export.parity.check import check_artifact
from pipeline.checkpoint import write_checkpoint
from pipeline.model_spec import Head
from pipeline.models.networks import build_network
from tests.conftest import make_spec
from tests.export.conftest import ARTIFACTS, Model, convert, read_model, write_variants

pytestmark = pytest.mark.slow("converts a second network")

# Of a learner that was pretrained on ImageNet, and of one that was not.
STATISTICS = {
    "normalised": {},
    "plain": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
}


# Statistics change nothing about weights of fewer bits: of a plain one fp32 and int8 are enough.
OTHERS = pytest.mark.ci("converts a network with fastai's head to more precisions")
CASES = [
    pytest.param(
        statistics,
        name,
        precision,
        id=f"{statistics}-{name}-{precision}",
        marks=() if statistics == "normalised" and precision in ("fp32", "int8") else OTHERS,
    )
    for statistics in STATISTICS
    for name, precision in ARTIFACTS
    if statistics == "normalised" or precision in ("fp32", "int8")
]


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    """Those that were made."""
    return {}


@pytest.fixture
def adopted(
    request: pytest.FixtureRequest,
    models: dict[str, Model],
    tmp_path_factory: pytest.TempPathFactory,
) -> Model:
    """A checkpoint as `python -m pipeline adopt` writes it; its outputs vary over the images."""
    if request.param not in models:
        folder = tmp_path_factory.mktemp("adopted") / "checkpoint"
        models[request.param] = write_adopted(folder, STATISTICS[request.param])
    return models[request.param]


def write_adopted(folder: Path, statistics: dict[str, tuple[float, ...]]) -> Model:
    spec = make_spec(name="adopted", head=Head("concat_pool", (32,)), **statistics)
    torch.manual_seed(0)
    network = build_network(spec.architecture, 2, spec.head).eval()
    pixels = np.stack(list(stress_images(spec.side).values())).transpose(0, 3, 1, 2)
    bare = PixelGraph(network, spec)
    last = network.head[-1]
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.bias.normal_(std=0.1)
        logits = network((torch.from_numpy(pixels).float() - bare.mean) / bare.std)
        scale = 1 / logits.std(dim=0)
        last.weight *= scale[:, None]
        last.bias.copy_((last.bias - logits.median(dim=0).values) * scale)
    folder.mkdir()
    write_checkpoint(folder, spec, network.state_dict())
    write_variants(folder)
    return read_model(folder)


@pytest.mark.parametrize(("adopted", "name", "precision"), CASES, indirect=["adopted"])
def test_a_network_with_fastais_head_is_proven_in_every_format(name, precision, adopted, tmp_path):
    path = convert(adopted, name, precision, tmp_path)
    assert adopted.reference[:, 0].std() > 0.1
    result = check_artifact(name, precision, path, adopted.held_for(name, precision))
    assert result.status == "pass", result


@pytest.mark.parametrize("adopted", ["normalised"], indirect=True)
def test_a_file_with_maxima_and_averages_exchanged_is_found(adopted, tmp_path):
    state = adopted.graph.pixels.network.state_dict()
    first = state["head.0.weight"]
    state = {**state, "head.0.weight": first.roll(first.shape[1] // 2, dims=1)}
    folder = tmp_path / "swapped"
    folder.mkdir()
    write_checkpoint(folder, adopted.spec, state)
    swapped = read_model(folder)
    path = convert(swapped, "onnx", "fp32", tmp_path)
    assert check_artifact("onnx", "fp32", path, adopted.held).status == "fail"
