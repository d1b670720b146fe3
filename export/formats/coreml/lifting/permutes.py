"""Permutes as late as they can stand, on both sides of a comparison.

coremltools 9.0 moves permutes through operations to cancel some (`reduce_transposes`). Which one it
moves how far depends on the whole graph; so that is not done again here, but both programs are
brought to the one form in which each permute comes after all that can be done before it:
f(permute(x)) = permute(f(x)) for what is computed number by number, for a concatenation and a mean
along the axis that it was, and two in a row are one. The function stays the same.

A constant of arithmetic has no leading axes of length 1, and one that is stretched to one image is
not stretched, so that constants are the same on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from torch import Tensor, fx

from export.formats.coreml.lifting.draft import Draft
from pipeline.program.operations import OPERATIONS, operation_of
from pipeline.program.program import MODULE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.program.program import Program

# fmt: off
ALONE: Final = frozenset({
    "abs", "clamp", "elu", "exp", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
    "mish", "neg", "pow.Tensor_Scalar", "relu", "rsqrt", "sigmoid", "silu", "softplus", "sqrt",
    "tanh",
})
# fmt: on
IN_PAIRS: Final = frozenset(
    {"add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "maximum", "minimum"}
)
OVER_AXES: Final = frozenset({"mean.dim", "sum.dim_IntList", "amax"})


def with_late_permutes(program: Program) -> Program:
    """A copy of a program, in that form."""
    written = Draft(program)
    sizes = program.lengths
    for node in list(written.graph.nodes):
        operation = operation_of(node)
        if operation == "permute":
            _merged(node)
        elif operation == "expand" and sizes[node.name] == sizes.get(node.all_input_nodes[0].name):
            node.replace_all_uses_with(node.all_input_nodes[0])
        elif operation in ALONE:
            _after(written, node, [node.args[0]])
        elif operation in IN_PAIRS:
            _without_leading_axes(written, node)
            parts = [x for x in node.args[:2] if isinstance(x, fx.Node)]
            if all(len(sizes.get(x.name, ())) <= len(sizes[node.name]) for x in parts):
                _after(written, node, parts)
        elif operation == "cat":
            _after(written, node, node.args[0], axis=node.args[1])
        elif operation in OVER_AXES:
            _over_axes(written, node)
    return written.program()


def _order(x: Any) -> list[int] | None:
    """The order of a permute; None of anything else."""
    if isinstance(x, fx.Node) and operation_of(x) == "permute":
        order: Any = x.args[1]
        return list(order)
    return None


def _merged(node: fx.Node) -> None:
    inner, order = _order(node.args[0]), _order(node)
    if inner is None or order is None:
        return
    together = [inner[axis] for axis in order]
    (before,) = node.all_input_nodes[0].all_input_nodes
    if together == sorted(together):
        node.replace_all_uses_with(before)
    else:
        node.args = (before, together)


def _after(written: Draft, node: fx.Node, parts: Any, axis: Any = None) -> None:
    """An operation of permuted values as a permute of the operation, if all agree on the order."""
    orders = [_order(x) for x in parts if not _is_constant(x)]
    if not orders or orders[0] is None or any(order != orders[0] for order in orders):
        return
    order = orders[0]
    before = {x: _unpermuted(written, x, order) for x in dict.fromkeys(parts)}
    args: Any = fx.map_arg(node.args, lambda x: before.get(x, x))
    if axis is not None:
        args = (args[0], order[axis])
    made = _permute_result(written, node, args, order)
    if axis is None:
        _without_leading_axes(written, made)


def _over_axes(written: Draft, node: fx.Node) -> None:
    order = _order(node.args[0])
    if order is None:
        return
    given: Any = node.args
    x, axes, keep, *rest = given
    inner_axes = sorted(order[axis] for axis in axes)
    left = [axis for axis in order if keep or axis not in inner_axes]
    places = [sorted(left).index(axis) for axis in left]
    _permute_result(written, node, (x.args[0], inner_axes, keep, *rest), places)


def _permute_result(written: Draft, node: fx.Node, args: Any, order: Sequence[int]) -> fx.Node:
    """The operation with other arguments, then a permute in its place."""
    with written.graph.inserting_before(node):
        made = written.graph.create_node(
            "call_function", node.target, args, node.kwargs, name=f"{node.name}_before"
        )
    made.meta = {MODULE: node.meta.get(MODULE, "")}
    if list(order) == sorted(order):
        node.replace_all_uses_with(made)
        written.graph.erase_node(node)
    else:
        node.target, node.args, node.kwargs = OPERATIONS["permute"], (made, list(order)), {}
    return made


def _is_constant(x: Any) -> bool:
    return isinstance(x, fx.Node) and x.op == "get_attr"


def _unpermuted(written: Draft, x: fx.Node, order: Sequence[int]) -> fx.Node:
    """What gives `x` when it is permuted."""
    if not _is_constant(x):
        assert isinstance(x.args[0], fx.Node)
        return x.args[0]
    tensor = written.tensors[str(x.target)].detach()
    whole = tensor.reshape(*[1] * (len(order) - tensor.dim()), *tensor.shape)
    turned = whole.permute([order.index(axis) for axis in range(len(order))])
    return written.reshape(x, turned.contiguous())


def _without_leading_axes(written: Draft, node: fx.Node) -> None:
    parts = list(node.args[:2])
    for i, x in enumerate(parts):
        if not isinstance(x, fx.Node) or not _is_constant(x):
            continue
        tensor = written.tensors[str(x.target)].detach()
        if _short(tensor).dim() != tensor.dim():
            parts[i] = written.reshape(x, _short(tensor))
    node.args = (*parts, *node.args[2:])


def _short(tensor: Tensor) -> Tensor:
    while tensor.dim() > 1 and len(tensor) == 1:
        tensor = tensor[0]
    return tensor
