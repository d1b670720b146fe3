"""Max pools that a file computes in two steps, as the pools that they are.

The reverse of `export.formats.torchscript.separable_pooling`: a maximum of slices of rows, then one
of slices of columns, each slice one place further than the one before. Every place of the result is
the maximum of the same window either way, so the numbers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.program.builder import length_of, shape_of
from pipeline.program.operations import arguments_of, operation_of

if TYPE_CHECKING:
    from torch import fx

    from pipeline.program.builder import Builder


@dataclass(frozen=True)
class Maxima:
    """The maxima of windows along one axis.

    Attributes:
        of: what is pooled.
        window, stride: along the axis.
        parts: the nodes that compute it, all but the last.
    """

    of: fx.Node
    window: int
    stride: int
    parts: frozenset[fx.Node]


def with_whole_pools(build: Builder) -> None:
    """Replace what computes a pool in two steps by the pool."""
    for node in list(build.graph.nodes):
        columns = _maxima(node, 3)
        rows = columns and _maxima(columns.of, 2)
        if not columns or not rows or not set(columns.of.users) <= columns.parts:
            continue
        window, stride = (rows.window, columns.window), (rows.stride, columns.stride)
        with build.graph.inserting_before(node):
            pool = build.add("max_pool2d", rows.of, list(window), list(stride))
        node.replace_all_uses_with(pool)


def _maxima(node: fx.Node, axis: int) -> Maxima | None:
    parts = _parts(node)
    slices = [part for part in parts if operation_of(part) == "slice.Tensor"]
    if len(slices) < 2:
        return None
    given = [arguments_of(part) for part in slices]
    whole: Any = given[0]["self"]
    step: Any = given[0]["step"]
    window, outputs = len(slices), length_of(node, axis)
    if (length_of(whole, axis) - window) // step + 1 != outputs:
        return None
    wanted = [(whole, axis, start, step) for start in range(window)]
    found = [(each["self"], each["dim"], each["start"], each["step"]) for each in given]
    if found != wanted or any(shape_of(each) != shape_of(node) for each in slices):
        return None
    between = {part for part in parts if part is not node}
    if any(not set(part.users) <= set(parts) for part in between):
        return None
    return Maxima(whole, window, step, frozenset(between))


def _parts(node: fx.Node) -> list[fx.Node]:
    """A maximum of maxima and what these are of, from first to last; the maxima first."""
    if operation_of(node) != "maximum":
        return []
    first, second = node.all_input_nodes if len(node.all_input_nodes) == 2 else (node, node)
    if first is node:
        return []
    before = _parts(first) or [first]
    return [node, *before, second]
