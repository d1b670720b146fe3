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

Translate = Callable[[Any, Any], None]  # coremltools' context and node
CASTS: Final[dict[str, Callable[[Any], Any]]] = {"int": int, "bool": bool}


def read_traced_sizes() -> None:
    """Put the casts in place of coremltools' own; once more changes nothing."""
    from coremltools.converters.mil.frontend.torch import ops, register_torch_op

    for name, cast in CASTS.items():
        translate = _of_constants(cast, getattr(ops, f"_{name}"))
        translate.__name__ = name  # what it is registered for
        register_torch_op(translate, override=True)


def _of_constants(cast: Callable[[Any], Any], otherwise: Translate) -> Translate:
    """A cast as coremltools registers it: translates one node of a traced graph."""

    def translate(context: Any, node: Any) -> None:
        from coremltools.converters.mil import Builder

        (given,) = (context[name] for name in node.inputs)
        value = getattr(given, "val", None)
        if value is None or getattr(value, "size", 0) != 1:
            otherwise(context, node)
            return
        context.add(Builder.const(val=cast(value.item()), name=node.name), node.name)

    return translate
