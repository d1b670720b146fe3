"""The prepacked layers that a function of lite bytecode calls, in order, found without running it.

In: a function without branches, as tracing makes it. Out: the records among its constants. The
order is `export.deploy.call_order`: torch's mobile passes move shortcuts ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from export.deploy.call_order import call_order
from export.formats.torchscript.lite_file.bytecode_machine import follow
from export.formats.torchscript.lite_file.safe_unpickler import Record


@dataclass(frozen=True)
class Call:
    """The result of an operator that is not run, or an argument of the function."""

    number: int


def called_records(function: Mapping[str, Any]) -> list[tuple[Record, str]]:
    """Records with a name for messages, once for each call that uses them.

    Args:
        function: ``instructions``, ``operators`` and ``constants`` of the bytecode.

    Raises:
        ValueError, IndexError, KeyError: unexpected in a traced module, or
            inconsistent instructions.
    """
    before: list[list[int]] = []  # for each call those that it needs
    records: list[list[Record]] = []
    names = {id(constant): f"constant {i}" for i, constant in enumerate(function["constants"])}

    def made_of(*values: Any) -> Call:
        leaves = _leaves(values)
        before.append([leaf.number for leaf in leaves if isinstance(leaf, Call)])
        records.append([leaf for leaf in leaves if isinstance(leaf, Record)])
        return Call(len(before) - 1)

    def operator(name: str, overload: str, arguments: list[Any]) -> list[Call]:
        return [made_of(arguments)] * _outputs(name, overload)

    returned = follow(function, [made_of(), made_of()], operator)  # of the module and the image
    ends = [leaf.number for leaf in _leaves(returned) if isinstance(leaf, Call)]
    order = call_order([*ends, *range(len(before))], before, [[] for _ in before])
    return [(record, names[id(record)]) for number in order for record in records[number]]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _outputs(name: str, overload: str) -> int:
    """How many values an operator returns."""
    import torch

    for schema in torch._C._jit_get_schemas_for_operator(name):
        if schema.overload_name == overload:
            return len(schema.returns)
    raise ValueError(f"operator {name} {overload} is unknown to this torch")
