"""Rules for operations that compute: see `pipeline.program.normal_form`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, fx

from pipeline.errors import BadInput
from pipeline.program.builder import VALUE, Builder, axis_of, length_of, shape_of
from pipeline.program.operations import OPERATIONS, ROUND
from pipeline.program.shape_rules import Rule, cast, transposed

QUANT_MAX: Final = 255


def over_axes(operation: str) -> Rule:
    """A rule for a mean, a sum, a maximum: over axes from the front; all if none is named."""

    def rule(
        build: Builder, x: fx.Node, axes: Any = None, keepdim: bool = False, dtype: Any = None
    ) -> fx.Node:
        return build.add(operation, cast(build, x, dtype), _axes(x, axes), keepdim)

    return rule


def norm(
    build: Builder,
    x: fx.Node,
    order: float = 2,
    axes: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> fx.Node:
    """The length of vectors."""
    x = cast(build, x, dtype)
    return build.add("linalg_vector_norm", x, float(order), _axes(x, axes), keepdim)


def softmax(build: Builder, x: fx.Node, axis: int, dtype: Any = None) -> fx.Node:
    """Over an axis from the front."""
    return build.add("softmax.int", cast(build, x, dtype), axis_of(x, axis))


def rounded(build: Builder, x: fx.Node, scale: float, zero_point: int) -> fx.Node:
    """Rounded to (code - zero_point) scale, for codes of 8 bits."""
    steps, points = torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32)
    return build.add(ROUND, x, steps, points, 0, QUANT_MAX)


def clamped(build: Builder, x: fx.Node, low: Any = None, high: Any = None) -> fx.Node:
    """Between two numbers, which is a `hardtanh`; or beyond one."""
    if low is None or high is None:
        return build.add("clamp", x, low, high)
    return build.add("hardtanh", x, float(low), float(high))


def at_least(build: Builder, x: fx.Node, low: float) -> fx.Node:
    """A clamp from below."""
    return clamped(build, x, low)


def at_most(build: Builder, x: fx.Node, high: float) -> fx.Node:
    """A clamp from above."""
    return clamped(build, x, None, high)


def average_to(build: Builder, x: fx.Node, sizes: Sequence[int]) -> fx.Node:
    """An average to a fixed size: of everything, of equal windows, or torch's uneven ones."""
    if list(sizes) == [1, 1]:
        return build.add("mean.dim", x, _axes(x, [-2, -1]), True)
    window = _equal_windows(x, sizes)
    if window == [1, 1]:
        return x
    if window is None:
        return build.add("adaptive_avg_pool2d", x, sizes)
    return build.add("avg_pool2d", x, window, window, [0, 0], False, True)


def largest_to(build: Builder, x: fx.Node, sizes: Sequence[int]) -> tuple[fx.Node, None]:
    """The same of a maximum, but for uneven windows; its places are not kept."""
    if list(sizes) == [1, 1]:
        return build.add("amax", x, _axes(x, [-2, -1]), True), None
    window = _equal_windows(x, sizes)
    if window is None:
        raise BadInput(f"a maximum over uneven windows, {shape_of(x)[-2:]} to {list(sizes)}")
    return build.add("max_pool2d", x, window, window), None


def pooled(operation: str) -> Rule:
    """A rule for a pool: its steps are its window unless they are given."""

    def rule(
        build: Builder, x: fx.Node, window: Sequence[int], stride: Sequence[int] = (), *rest: Any
    ) -> fx.Node:
        return build.add(operation, x, window, stride or window, *rest)

    return rule


def batch_norm(
    build: Builder,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    _momentum: float,
    eps: float,
) -> tuple[fx.Node, None, None]:
    """In evaluation mode."""
    return build.add("batch_norm", x, weight, bias, mean, variance, eps=eps), None, None


def weighted(operation: str) -> Rule:
    """A rule for a sum or difference whose second part has a factor."""

    def rule(build: Builder, x: Any, y: Any, alpha: float = 1) -> fx.Node:
        return build.add(operation, x, _times(build, y, alpha))

    return rule


def taken_from(build: Builder, x: fx.Node, y: Any, alpha: float = 1) -> fx.Node:
    """The difference y - alpha x."""
    return build.add("add.Tensor", _times(build, x, -alpha), y)


def matrix_product(build: Builder, x: Any, y: Any) -> fx.Node:
    """Of two matrices, or of two stacks of them."""
    return build.add("matmul", x, y)


def matrix_product_plus(
    build: Builder, bias: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1
) -> fx.Node:
    """The sum beta bias + alpha x y; a linear layer if y is a weight turned."""
    turned = isinstance(y, fx.Node) and y.target is OPERATIONS["permute"]
    if turned and y.args[0].op == "get_attr" and (beta, alpha) == (1, 1):
        return build.add("linear", x, y.args[0], bias)
    product = _times(build, build.add("matmul", x, y), alpha)
    return build.add("add.Tensor", product, _times(build, bias, beta))


def attention(
    build: Builder,
    query: fx.Node,
    key: fx.Node,
    value: fx.Node,
    mask: Any = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> fx.Node:
    """softmax(q k' scale + mask) v: Vaswani et al., arXiv:1706.03762, equation 1."""
    if is_causal or enable_gqa or dropout:
        raise BadInput("attention that is causal, grouped or drops out")
    factor = 1 / math.sqrt(length_of(query, -1)) if scale is None else scale
    scores = build.add("matmul", _times(build, query, factor), transposed(build, key, -2, -1))
    if mask is not None:
        if (mask if isinstance(mask, Tensor) else mask.meta[VALUE][0]).dtype == torch.bool:
            raise BadInput("attention with a mask of yes and no")
        scores = build.add("add.Tensor", scores, mask)
    return build.add("matmul", softmax(build, scores, -1), value)


def _axes(x: fx.Node, axes: Sequence[int] | int | None) -> list[int]:
    every = axes is None or axes == []
    chosen = range(len(shape_of(x))) if every else [axes] if isinstance(axes, int) else axes
    return sorted(axis_of(x, axis) for axis in chosen or ())


def _equal_windows(x: fx.Node, sizes: Sequence[int]) -> list[int] | None:
    pairs = [(length_of(x, axis), m) for axis, m in zip((-2, -1), sizes, strict=True)]
    return None if any(n % m for n, m in pairs) else [n // m for n, m in pairs]


def _times(build: Builder, x: Any, factor: float) -> Any:
    if factor == 1:
        return x
    return build.add("neg", x) if factor == -1 else build.add("mul.Tensor", x, factor)
