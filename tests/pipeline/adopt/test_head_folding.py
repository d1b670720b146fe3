from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("fastai")

from fastai.layers import AdaptiveConcatPool2d, Flatten
from fastai.vision.learner import create_head

from pipeline.adopt.head_folding import fold_head
from pipeline.errors import BadInput
from pipeline.model_spec import Head
from pipeline.models.networks import PooledNetwork

FEATURES, CLASSES = 8, 3


def worn(head: nn.Module, seed: int = 0) -> nn.Module:
    """A head with batch norms that have seen much: nothing in it is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in head.modules():
        if isinstance(module, nn.BatchNorm1d):
            with torch.no_grad():
                module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator))
                module.running_mean.copy_(torch.randn(module.bias.shape, generator=generator))
                module.running_var.copy_(torch.rand(module.bias.shape, generator=generator) + 0.1)
    return head.eval()


def folded(head: nn.Module) -> PooledNetwork:
    kind, tensors = fold_head(head)
    network = PooledNetwork(nn.Identity(), FEATURES, kind, CLASSES)
    network.head.load_state_dict(tensors)
    return network.eval()


def features() -> torch.Tensor:
    return torch.randn(5, FEATURES, 4, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, Head("concat_pool", (512,))),
        ({"lin_ftrs": [16]}, Head("concat_pool", (16,))),
        ({"lin_ftrs": [16, 12, 6]}, Head("concat_pool", (16, 12, 6))),
        ({"lin_ftrs": []}, Head("concat_pool", ())),
        ({"ps": 0.0, "lin_ftrs": [16]}, Head("concat_pool", (16,))),
        ({"bn_final": True, "lin_ftrs": [16]}, Head("concat_pool", (16,))),
        ({"first_bn": False, "lin_ftrs": [16]}, Head("concat_pool", (16,))),
        ({"concat_pool": False, "lin_ftrs": [16]}, Head("average_pool", (16,))),
    ],
    ids=str,
)
def test_a_folded_head_gives_fastais_outputs(options, kind):
    head = worn(create_head(FEATURES, CLASSES, **options))
    network = folded(head)
    with torch.no_grad():
        wanted, found = head(features()), network(features())
    assert fold_head(head)[0] == kind
    assert wanted.abs().max() > 0.1
    assert torch.allclose(found, wanted, atol=1e-5 * wanted.abs().max().item())


def test_nothing_but_dense_layers_is_left():
    network = folded(worn(create_head(FEATURES, CLASSES)))
    assert [type(module) for module in network.head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert set(network.state_dict()) == {
        f"head.{i}.{n}" for i in (0, 2) for n in ("weight", "bias")
    }


def test_the_maxima_come_before_the_averages():
    network = folded(worn(create_head(FEATURES, CLASSES, lin_ftrs=[], first_bn=False)))
    with torch.no_grad():
        network.head[0].weight.zero_()
        network.head[0].bias.zero_()
        network.head[0].weight[0, 2] = 1
        network.head[0].weight[1, FEATURES + 2] = 1
        logits = network(features())
    assert torch.equal(logits[:, 0], features()[:, 2].amax((1, 2)))
    assert torch.allclose(logits[:, 1], features()[:, 2].mean((1, 2)))


def test_a_channel_that_hardly_varied_keeps_its_digits():
    # Its scale is 316: in float32 the bias would be the difference of two large numbers.
    head = worn(create_head(FEATURES, CLASSES, lin_ftrs=[16]))
    with torch.no_grad():
        head[2].running_var[3] = 0
        head[2].running_mean[3] = 40
    still = features()
    still[:, 3] = 40.0
    network = folded(head)
    with torch.no_grad():
        wanted, found = head(still), network(still)
    assert torch.allclose(found, wanted, atol=3e-4 * wanted.abs().max().item())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Flatten(), nn.Linear(8, 3)], r"starts with Flatten\(.*\), Linear\(.*supported are"),
        ([nn.AdaptiveAvgPool2d(2), Flatten(), nn.Linear(32, 3)], r"starts with AdaptiveAvgPool2d"),
        ([AdaptiveConcatPool2d(2), Flatten(), nn.Linear(64, 3)], r"starts with AdaptiveConcatPool"),
        (
            [AdaptiveConcatPool2d(), Flatten(), nn.Linear(16, 4), nn.GELU(), nn.Linear(4, 3)],
            r"has GELU\(.*\) where none belongs",
        ),
        (
            [AdaptiveConcatPool2d(), Flatten(), nn.Linear(16, 4), nn.Linear(4, 3)],
            r"has Linear\(in_features=4.* where none belongs",
        ),
        ([AdaptiveConcatPool2d(), Flatten(), nn.ReLU()], r"has ReLU\(\) where none belongs"),
        ([AdaptiveConcatPool2d(), Flatten(), nn.BatchNorm1d(16)], "does not end with a Linear"),
        (
            [AdaptiveConcatPool2d(), Flatten(), nn.Linear(16, 3), nn.ReLU()],
            "does not end with a Linear",
        ),
    ],
)
def test_another_head_is_refused_by_the_layer_that_does_not_belong(layers, message):
    with pytest.raises(BadInput, match=message):
        fold_head(nn.Sequential(*layers))
