"""Reductions over axes, which stay with size 1 or go.

Formulas: docstrings of coremltools 9.0, ops/defs/iOS15/reduction.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

from export.formats.coreml.evaluator.operations.arguments import Arguments, axes_of, tensor

Reduce = Callable[[Tensor, list[int], bool], Tensor]


def _over(reduce: Reduce) -> Callable[[Arguments], Tensor]:
    def compute(arguments: Arguments) -> Tensor:
        x = tensor(arguments["x"])
        return reduce(x, axes_of(arguments, x), bool(arguments["keep_dims"]))

    return compute


REDUCTIONS: Final[Mapping[str, Callable[[Arguments], Tensor]]] = {
    "reduce_l1_norm": _over(lambda x, axes, keep: x.abs().sum(axes, keep)),
    "reduce_l2_norm": _over(lambda x, axes, keep: x.square().sum(axes, keep).sqrt()),
    "reduce_max": _over(torch.amax),
    "reduce_mean": _over(torch.mean),
    "reduce_min": _over(torch.amin),
    "reduce_sum": _over(torch.sum),
    "reduce_sum_square": _over(lambda x, axes, keep: x.square().sum(axes, keep)),
}
