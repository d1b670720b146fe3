"""Windows over an image: what is padded before and after each axis.

Definitions: coremltools 9.0, ops/defs/iOS15/conv.py and pool.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import Arguments, integers


def padding_of(
    arguments: Arguments, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Padding before and after each axis, from `pad_type`."""
    kind = arguments["pad_type"]
    if kind == "valid":
        return [(0, 0) for _ in sizes]
    if kind == "custom":
        flat = integers(arguments["pad"])
        return list(zip(flat[::2], flat[1::2], strict=True))
    if kind not in ("same", "same_lower"):
        raise ValueError(f"pad_type {kind}")
    pairs = []
    for size, span, stride in zip(sizes, reach, strides, strict=True):
        both = max(0, (-(-size // stride) - 1) * stride + span - size)
        less, more = both // 2, both - both // 2
        pairs.append((less, more) if kind == "same" else (more, less))
    return pairs


def ceil_padding(
    arguments: Arguments,
    x: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> list[tuple[int, int]]:
    """`padding`, plus what `ceil_mode` adds at the end to include a last, partial window.

    A window that would start beyond the input and its leading padding is omitted, as in PyTorch.
    """
    if not bool(arguments["ceil_mode"]):
        return list(padding)
    pairs = []
    for size, span, stride, (before, after) in zip(
        x.shape[2:], kernel, strides, padding, strict=True
    ):
        windows = -(-(size + before + after - span) // stride) + 1
        if (windows - 1) * stride >= size + before:
            windows -= 1
        pairs.append((before, max(after, (windows - 1) * stride + span - size - before)))
    return pairs


def pad_by(x: Tensor, padding: Sequence[tuple[int, int]], value: float) -> Tensor:
    """`x` with `value` around its last axes."""
    return x if not any(map(any, padding)) else F.pad(x, torch_order(padding), value=value)


def torch_order(padding: Sequence[tuple[int, int]]) -> list[int]:
    """Torch expects the last axis first."""
    return [n for pair in reversed(list(padding)) for n in pair]
