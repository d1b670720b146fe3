"""Sizes that a traced network computes, read as the numbers that they are.

In: nothing. Out: coremltools' PyTorch converter, of this process, takes ``int(...)`` and
``bool(...)`` of a constant of one element, whatever its shape. Channel shuffles, padding by the
size of the input and attention compute sizes so.

coremltools 9.0 calls `int` on an array of shape (1,), which numpy 2.4 refuses
(https://github.com/apple/coremltools/issues/2633, mended after 9.0). All else is left to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

CASTS: Final[dict[str, Callable[[Any], Any]]] = {"int": int, "bool": bool}


def read_traced_sizes() -> None:
    """Register the casts, once in a process."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    for name, cast in CASTS.items():
        before = _TORCH_OPS_REGISTRY.get_func(name)
        if not isinstance(before, ConstantCast):
            _TORCH_OPS_REGISTRY.set_func_by_name(ConstantCast(cast, before), name)


class ConstantCast:
    """A cast as coremltools registers it: translates one node of a traced graph."""

    def __init__(self, cast: Callable[[Any], Any], otherwise: Callable[[Any, Any], None]) -> None:
        self.cast, self.otherwise = cast, otherwise

    def __call__(self, context: Any, node: Any) -> None:
        """`context`: coremltools' `TranscriptionContext`; `node`: its `InternalTorchIRNode`."""
        from coremltools.converters.mil import Builder

        (given,) = (context[name] for name in node.inputs)
        value = getattr(given, "val", None)
        if value is None or getattr(value, "size", 0) != 1:
            self.otherwise(context, node)
            return
        context.add(Builder.const(val=self.cast(value.item()), name=node.name), node.name)
