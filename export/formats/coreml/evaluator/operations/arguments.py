"""Arguments of an operation, in the forms that its computation needs.

In: what a program gives: tensors that were computed, constants as numpy arrays, strings, lists.
Optional arguments are those that a program may lack; all others must be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Arguments = Mapping[str, Any]


def tensor(value: Any) -> Tensor:
    """An argument as a tensor; numpy floats become float32."""
    if isinstance(value, Tensor):
        return value
    made = torch.from_numpy(value.copy() if hasattr(value, "copy") else value)
    return made.to(torch.float32) if made.is_floating_point() else made


def given(arguments: Arguments, name: str) -> Tensor | None:
    """An optional argument as a tensor."""
    return tensor(arguments[name]) if name in arguments else None


def integers(values: Any) -> list[int]:
    """A vector of integers."""
    return [int(v) for v in values]


def axes_of(arguments: Arguments, x: Tensor) -> list[int]:
    """The argument `axes`, counted from the front; without it all axes of `x`."""
    if "axes" not in arguments:
        return list(range(x.ndim))
    return [axis % x.ndim for axis in integers(arguments["axes"])]


def by_channel(values: Tensor, x: Tensor) -> Tensor:
    """(C,) in the form that broadcasts along the second axis of `x`, (N, C, ...)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))
