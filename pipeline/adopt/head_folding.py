"""Fastai's head becomes dense layers: its batch norms are folded into them, dropout is removed.

In: the head of a trained fastai model, as `fastai.vision.learner.create_head` makes it. Out: its
kind, and the tensors of `pipeline.models.networks.PooledNetwork.head`, by name.

A trained batch norm is y = s x + t for each number, s = weight / sqrt(variance + eps), t = bias -
mean s (Ioffe & Szegedy, arXiv:1502.03167). Before a dense layer W x + b it turns the layer into
W diag(s) and b + W t, after one into diag(s) W and s b + t. A ReLU between two of them stays where
it is. Everything is computed in float64 and rounded to float32 once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from pipeline.errors import BadInput
from pipeline.model_spec import Head

if TYPE_CHECKING:
    from collections.abc import Iterable

SUPPORTED: Final = (
    "supported are the head of fastai's vision_learner (AdaptiveConcatPool2d or "
    "AdaptiveAvgPool2d(1), Flatten, then BatchNorm1d, Dropout, Linear and ReLU in turns) "
    "and this project's own"
)


@dataclass
class _Dense:
    """A dense layer on its way: float64 (O, I) and (O,)."""

    weight: Tensor
    bias: Tensor
    relu: bool = False


def fold_head(head: nn.Module) -> tuple[Head, dict[str, Tensor]]:
    """The kind of `head`, and float32 tensors named as in `PooledNetwork.head` (``0.weight``, ...).

    Raises:
        BadInput: another kind of head; the message names the layer that does not belong.
    """
    # Not `children()`, which names fastai's one ReLU, used several times over, once.
    modules = list(head) if isinstance(head, nn.Sequential) else [head]
    pool = _pool(modules[:2])
    layers = _dense_layers(modules[2:])
    tensors = {}
    for position, layer in enumerate(layers):
        tensors[f"{2 * position}.weight"] = layer.weight.to(torch.float32)
        tensors[f"{2 * position}.bias"] = layer.bias.to(torch.float32)
    return Head(pool, tuple(len(layer.bias) for layer in layers[:-1])), tensors


def _pool(first: list[nn.Module]) -> str:
    """The kind of a head that starts with `first`."""
    from fastai.layers import AdaptiveConcatPool2d, Flatten

    if len(first) == 2 and isinstance(first[1], (Flatten, nn.Flatten)):
        pool = first[0]
        if isinstance(pool, AdaptiveConcatPool2d) and pool.mp.output_size in (1, (1, 1)):
            return "concat_pool"
        if isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size in (1, (1, 1)):
            return "average_pool"
    found = ", ".join(_said(module) for module in first)
    raise BadInput(f"the head starts with {found}; {SUPPORTED}")


def _dense_layers(modules: Iterable[nn.Module]) -> list[_Dense]:
    layers: list[_Dense] = []
    before: tuple[Tensor, Tensor] | None = None  # a batch norm that waits for its dense layer
    for module in modules:
        open_layer = layers[-1] if layers and not layers[-1].relu else None  # no ReLU behind it yet
        if isinstance(module, nn.Dropout):
            continue
        if isinstance(module, nn.BatchNorm1d) and module.running_mean is not None:
            scale, shift = _affine(module)
            if open_layer is not None:
                open_layer.weight = open_layer.weight * scale[:, None]
                open_layer.bias = open_layer.bias * scale + shift
            elif before is not None:
                before = before[0] * scale, before[1] * scale + shift
            else:
                before = scale, shift
        elif isinstance(module, nn.Linear) and open_layer is None:
            layers.append(_dense(module, before))
            before = None
        elif isinstance(module, nn.ReLU) and open_layer is not None:
            open_layer.relu = True
        else:
            raise BadInput(f"the head has {_said(module)} where none belongs; {SUPPORTED}")
    if not layers or layers[-1].relu:
        raise BadInput(f"the head does not end with a Linear layer; {SUPPORTED}")
    return layers


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Scale s and shift t of a trained batch norm, float64 (C,) each."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = norm.running_mean.detach().double(), norm.running_var.detach().double()
    scale = 1 / torch.sqrt(variance + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    bias = norm.bias.detach().double() if norm.bias is not None else torch.zeros_like(mean)
    return scale, bias - mean * scale


def _dense(linear: nn.Linear, before: tuple[Tensor, Tensor] | None) -> _Dense:
    weight = linear.weight.detach().double()
    has_bias = linear.bias is not None
    bias = linear.bias.detach().double() if has_bias else weight.new_zeros(len(weight))
    if before is None:
        return _Dense(weight, bias)
    scale, shift = before
    return _Dense(weight * scale, bias + weight @ shift)


def _said(module: nn.Module) -> str:
    """A module in one short line, for a message."""
    text = repr(module).splitlines()[0]
    return type(module).__name__ if text.endswith("(") else text
