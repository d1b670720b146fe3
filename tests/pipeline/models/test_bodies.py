"""Bodies of libraries' networks: found in the graph, with the library's own weights' names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.checkpoint import open_checkpoint, write_checkpoint
from pipeline.errors import BadInput
from pipeline.models.bodies import has_places, library_names, make_body
from pipeline.models.empty_weights import empty_weights
from pipeline.models.global_pool import find_cut
from pipeline.models.libraries import whole_network
from pipeline.models.networks import (
    FeatureNetwork,
    Network,
    build_network,
    load_network,
    require_size,
)
from tests.conftest import make_spec

# A chain of children; functions between them; a pool in a child; a graph; NHWC; SAME padding.
KINDS = (
    "mobilenet_v3_small",
    "shufflenet_v2_x0_5",
    "regnet_y_400mf",
    "googlenet",
    "fastai/xresnet18",
    "timm/mobilenetv4_conv_small_035",
    "timm/tf_efficientnet_lite0",
    "timm/repvgg_a0",
)


def behind_the_pool(name: str, model: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """What the library's own network does with our features: its own last layers."""
    pooled = features.mean((2, 3))
    if name == "mobilenet_v3_small":
        return model.classifier(pooled)
    if name == "fastai/xresnet18":
        return model[-1](pooled)
    if name == "timm/mobilenetv4_conv_small_035":
        head = model.act2(model.norm_head(model.conv_head(pooled[:, :, None, None])))
        return model.classifier(head.flatten(1))
    if name == "timm/repvgg_a0":
        return model.head.fc(pooled)
    return (model.classifier if "lite" in name else model.fc)(pooled)


@pytest.mark.parametrize("name", KINDS)
def test_the_body_gives_what_the_librarys_network_pools(name):
    torch.manual_seed(0)
    network = build_network(name, 3).eval()
    assert isinstance(network, Network)
    whole = whole_network(name).eval()
    state = whole.state_dict()
    network.body.load_state_dict(
        {ours: state[theirs] for ours, theirs in library_names(name).items()}
    )
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = whole(pixels)
        answer = behind_the_pool(name, whole, network.body(pixels))
        assert torch.allclose(answer, expected, atol=1e-5 * expected.abs().max().item())
        assert torch.allclose(network.evidence(pixels).mean((2, 3)), network(pixels))


@pytest.mark.parametrize("name", [*KINDS, "timm/vit_tiny_patch16_224"])
def test_a_written_network_is_loaded_with_the_same_outputs(name, tmp_path):
    torch.manual_seed(0)
    network = build_network(name, 3).eval()
    side = 224 if "vit" in name else 64
    labels = ("bleu é", "rouge", "vert")
    spec = make_spec(architecture=name, labels=labels, positive=None, threshold=None, side=side)
    write_checkpoint(tmp_path, spec, network.state_dict())
    loaded = load_network(open_checkpoint(tmp_path))
    pixels = torch.randn(1, 3, side, side)
    with torch.no_grad():
        assert torch.equal(loaded(pixels), network(pixels))


def test_a_network_without_a_global_pool_keeps_all_but_its_last_layer_and_has_no_evidence():
    assert not has_places("timm/vit_tiny_patch16_224")
    with torch.device("meta"):
        network = build_network("timm/vit_tiny_patch16_224", 5)
        assert isinstance(network, FeatureNetwork)
        assert network.eval()(torch.empty(2, 3, 224, 224)).shape == (2, 5)
        theirs = build_network("vit_b_32", 5)
    assert theirs.head[1].in_features == 768
    assert not hasattr(network, "evidence")
    assert "heads.head.weight" not in library_names("vit_b_32").values()


def test_what_stands_between_pool_and_classes_goes_with_the_classifier():
    names = set(library_names("mobilenet_v3_small").values())
    assert all(name.startswith("features.") for name in names)
    assert set(library_names("timm/mobilenetv4_conv_small_035").values()).isdisjoint(
        {"conv_head.weight", "norm_head.weight"}
    )


def test_a_weighted_pool_is_no_average():
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 5, 1)
            self.fc = nn.Linear(5, 2)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.fc(self.body(pixels).pow(3).mean((2, 3)).pow(1 / 3))

    class Largest(Weighted):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.fc(self.body(pixels).amax((2, 3)))

    class Twice(Weighted):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            features = self.body(pixels)
            return self.fc(features.mean((2, 3)) + features.amax((2, 3)))

    cut = find_cut(Weighted())
    assert cut is not None
    assert cut.last == "pow_1"  # of what it averages, the power is a part
    assert find_cut(Largest()) is None
    assert find_cut(Twice()) is None


def test_a_library_that_reads_numbers_while_it_builds_is_built_without_weights():
    before = torch.get_rng_state()
    with empty_weights():
        network = whole_network("regnet_y_400mf")
    assert all(parameter.is_meta for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    with torch.device("meta"):
        assert all(t.is_meta for t in build_network("regnet_y_400mf", 2).state_dict().values())


def test_residual_branches_start_as_zero_where_the_library_offers_it():
    for name in ("resnext50_32x4d", "fastai/xresnet18", "timm/resnet18d"):
        norms = [m for m in make_body(name).module.modules() if isinstance(m, nn.BatchNorm2d)]
        assert sum(bool((norm.weight == 0).all()) for norm in norms) >= 8, name


def test_a_size_that_a_network_does_not_take_is_refused_before_any_image_is_read():
    require_size("squeezenet1_1", 64, 96)
    with pytest.raises(BadInput, match=r"vit_b_32 does not take images of 64x64 pixels: .*--side"):
        require_size("vit_b_32", 64, 64)
