"""A model of one channel, given the three of our images.

In: a model, float32 (N, 1, H, W), of images that Pillow turned to grey (`PILImageBW`). Out: one,
float32 (N, 3, H, W), that first makes the grey of each place as Pillow does: L = 19595/65536 R +
38470/65536 G + 7471/65536 B (`ImagingConvert`, "L"; the shares add up to 1). For a picture that is
grey, where the three are equal, that is the very input of the model. One in colour is resized in
colour here and in grey there, and rounded otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

SHARES: Final = (19595, 38470, 7471)  # of 65536
NOTE: Final = (
    "the model takes grey images: a picture in colour is turned to grey after its resize, where "
    "the learner does it before; pictures that are grey give the learner's very input"
)


class FromColours(nn.Module):
    """A model of grey images that takes RGB."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.grey = nn.Conv2d(3, 1, 1, bias=False)
        self.grey.weight = nn.Parameter(_shares(), requires_grad=False)
        self.model = model
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 (N, 3, H, W), every channel normalised by the same numbers."""
        answer: Tensor = self.model(self.grey(pixels))
        return answer


def is_grey(state: Mapping[str, Tensor]) -> bool:
    """Whether the first convolution of a state is of one channel."""
    return _first(state).shape[1:2] == (1,)


def state_of_colours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of one channel as that of a network of RGB: its first convolution makes the grey."""
    first = _first(state)
    return {
        name: tensor.float() * _shares() if tensor is first else tensor
        for name, tensor in state.items()
    }


def _first(state: Mapping[str, Tensor]) -> Tensor:
    windows = (tensor for tensor in state.values() if tensor.dim() == len("OIHW"))
    return next(windows, torch.empty(0))


def _shares() -> Tensor:
    return (torch.tensor(SHARES, dtype=torch.float64) / 65536).float().reshape(1, 3, 1, 1)
