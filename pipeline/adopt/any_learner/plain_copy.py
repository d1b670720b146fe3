"""A copy of a module whose layers are plain: each has its weight, and none is of sequences.

In: a module in evaluation mode. Out: the same function. What computes a weight anew at every call
(spectral norm, as in fastai's self-attention; weight norm; torch's parametrizations) leaves the
weight that it gives; a convolution of sequences becomes one of images of one column.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


class OfSequences(nn.Module):
    """A `Conv1d` by a `Conv2d`."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        assert isinstance(conv.padding, tuple)
        self.conv = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], 1),
            (conv.stride[0], 1),
            (int(conv.padding[0]), 0),
            (conv.dilation[0], 1),
            conv.groups,
            bias=conv.bias is not None,
        )
        self.conv.weight = nn.Parameter(conv.weight.detach()[..., None])
        self.conv.bias = conv.bias

    def forward(self, rows: Tensor) -> Tensor:
        """float32 (N, C, L) -> float32 (N, O, l)."""
        answer: Tensor = self.conv(rows[..., None])[..., 0]
        return answer


def plain_copy(model: nn.Module) -> nn.Module:
    """See above; a convolution whose padding is told by a word or by a mode stays."""
    with torch.no_grad():
        made = copy.deepcopy(model, _computed(model)).eval()
        for name, module in list(made.named_modules()):
            _leave_weights(module)
            plain = isinstance(module, nn.Conv1d) and not isinstance(module.padding, str)
            if plain and module.padding_mode == "zeros" and name:
                made.set_submodule(name, OfSequences(module).eval())
    return made


def _computed(model: nn.Module) -> dict[int, Tensor]:
    """Weights that were computed, which cannot be copied as they are: id -> a copy."""
    values = (value for module in model.modules() for value in vars(module).values())
    return {
        id(value): value.detach().clone()
        for value in values
        if isinstance(value, Tensor) and not value.is_leaf
    }


def _leave_weights(module: nn.Module) -> None:
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, SpectralNorm | WeightNorm):
            hook.remove(module)
            del module._forward_pre_hooks[key]
    if parametrize.is_parametrized(module):
        # Not `remove_parametrizations`: it changes the class, which the original shares.
        names = list(module.parametrizations)  # type: ignore[arg-type]
        weights = {name: getattr(module, name).detach() for name in names}
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
        for name, weight in weights.items():
            module.register_parameter(name, nn.Parameter(weight))
