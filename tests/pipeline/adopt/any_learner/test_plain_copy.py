"""A copy with plain layers computes the same."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from pipeline.adopt.any_learner.plain_copy import plain_copy

WRAPPED = {
    "spectral norm": spectral_norm,
    "weight norm": weight_norm,
    "parametrized": parametrizations.spectral_norm,
    "nothing": lambda layer: layer,
}


class Sequences(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(2))


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_a_convolution_of_sequences_becomes_one_of_images_with_a_weight_of_its_own(
    wrapped: str,
) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        layer = WRAPPED[wrapped](nn.Conv1d(3, 4, 3, 2, padding=1, dilation=2))
    model = Sequences(layer).eval()
    made = plain_copy(model)
    pixels = torch.randn(2, 3, 5, 4)
    with torch.no_grad():
        assert torch.allclose(made(pixels), model(pixels), atol=1e-6)
    assert set(made.state_dict()) == {"layer.conv.weight", "layer.conv.bias"}
    assert not any(isinstance(module, nn.Conv1d) for module in made.modules())
