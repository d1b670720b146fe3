"""What is written in place, written beside it instead.

In: the graph of an exported program, which may change tensors in place. Out: whether it is now one
of the same numbers that changes none. torch does so for any graph by tracing it once more, which
takes twice as long as the export itself; what a network changes is mostly the result of the
operation before, which nobody else reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable

aten: Final = torch.ops.aten
DROPOUTS: Final = frozenset(  # of (input, probability, whether in training)
    getattr(aten, name).default
    for kind in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
    for name in (kind, f"{kind}_")
)


def write_beside(graph: fx.Graph) -> bool:
    """Whether nothing is changed in place any more; if not, the graph is of no use.

    A changed tensor must have been made by a call, what else lies in its memory must not be read
    afterwards, and there must be an operation that gives the change as a tensor of its own.
    """
    _pass_through_dropouts(graph)
    order = {node: place for place, node in enumerate(graph.nodes)}
    memories = _by_memory(graph)
    made: dict[fx.Node, Callable[..., Any]] = {}
    newest: dict[fx.Node, fx.Node] = {}  # of a tensor that was changed
    same: dict[fx.Node, list[fx.Node]] = {}  # change -> all names of the tensor that it changes
    for node in filter(_changes, graph.nodes):
        beside, changed = _beside(node), next(iter(node.args), None)
        if beside is None or not isinstance(changed, fx.Node) or not _alike(node, changed):
            return False
        earlier = [n for n in memories[_memory(changed.meta["val"])] if order[n] < order[node]]
        names = [n for n in earlier if newest.get(n, n) is newest.get(changed, changed)]
        stale = [user for n in earlier if n not in names for user in n.users]
        if any(n.op != "call_function" for n in earlier) or any(
            order[user] > order[node] for user in stale
        ):
            return False
        made[node], same[node] = beside, names
        newest |= dict.fromkeys(names, node)
    for node, names in same.items():
        node.target = made[node]
        for name in names:
            for user in [user for user in name.users if order[user] > order[node]]:
                user.replace_input_with(name, node)
    return True


def _pass_through_dropouts(graph: fx.Graph) -> None:
    """In evaluation a dropout answers its input itself, which its place in memory does not say."""
    for node in list(graph.nodes):
        if node.target in DROPOUTS and not node.args[2]:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _changes(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _beside(node: fx.Node) -> Callable[..., Any] | None:
    """The operation that gives the same as a tensor of its own."""
    changing: Any = node.target
    namespace, _, name = changing._schema.name.partition("::")
    packet = getattr(getattr(torch.ops, namespace), name.removesuffix("_"), None)
    found = getattr(packet, changing._overloadname, None) if name.endswith("_") else None
    return None if found is None or found._schema.is_mutable else found


def _by_memory(graph: fx.Graph) -> dict[int, list[fx.Node]]:
    """What lies in each memory: tensors, and tuples that have one there."""
    found: dict[int, list[fx.Node]] = {}
    for node in graph.nodes:
        tensors = [x for x in tree_leaves(node.meta.get("val")) if isinstance(x, Tensor)]
        for memory in {_memory(tensor) for tensor in tensors}:
            found.setdefault(memory, []).append(node)
    return found


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _alike(node: fx.Node, other: fx.Node) -> bool:
    one, two = node.meta["val"], other.meta["val"]
    return isinstance(one, Tensor) and (one.shape, one.dtype) == (two.shape, two.dtype)
