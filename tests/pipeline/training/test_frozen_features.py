from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.config import TrainConfig
from pipeline.models.start import Start
from pipeline.training.frozen_features import HeadAlone
from pipeline.training.train import _normalised_as


@pytest.mark.parametrize("places", [(1, 1), ()], ids=["places", "none"])
def test_a_head_that_learnt_on_standardised_features_reads_the_bodys_own_when_folded(places):
    torch.manual_seed(0)
    features = 3 + 2 * torch.randn(16, 5, *places)
    layer = nn.Conv2d(5, 3, 1) if places else nn.Linear(5, 3)
    head = nn.Sequential(nn.Dropout(0.5), layer).eval()
    alone = HeadAlone(head, features).eval()
    with torch.no_grad():
        before = alone(features)
        assert before.shape == (16, 3)
        alone.fold()
        assert torch.allclose(head(features).reshape(16, 3), before, atol=1e-5)


def test_the_normalisation_of_the_weights_is_taken_unless_another_is_asked_for():
    start = Start("ImageNet, somebody's", (0.5,) * 3, (0.25,) * 3)
    taken = _normalised_as(TrainConfig(), start)
    assert (taken.mean, taken.std) == ((0.5,) * 3, (0.25,) * 3)
    own = TrainConfig(mean=(0.1, 0.2, 0.3))
    assert _normalised_as(own, start) == own
    assert _normalised_as(TrainConfig(), Start("random")) == TrainConfig()
