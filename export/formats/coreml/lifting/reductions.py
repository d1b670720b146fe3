"""Reductions over axes, which stay with size 1 or go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from export.formats.coreml.lifting.arguments import Arguments, Entry, axes_from_front
from pipeline.program.arithmetic_rules import norm, over_axes

if TYPE_CHECKING:
    from torch import fx

    from pipeline.program.builder import Builder


def _over(operation: str) -> Entry:
    def entry(build: Builder, arguments: Arguments) -> fx.Node:
        x, keep = arguments["x"], bool(arguments["keep_dims"])
        made: fx.Node = over_axes(operation)(build, x, axes_from_front(arguments, x), keep)
        return made

    return entry


def _l2_norm(build: Builder, arguments: Arguments) -> fx.Node:
    """The length of vectors."""
    x, keep = arguments["x"], bool(arguments["keep_dims"])
    return norm(build, x, 2, axes_from_front(arguments, x), keep)


REDUCTIONS: Final[Mapping[str, Entry]] = {
    "reduce_l2_norm": _l2_norm,
    "reduce_max": _over("amax"),
    "reduce_mean": _over("mean.dim"),
    "reduce_sum": _over("sum.dim_IntList"),
}
