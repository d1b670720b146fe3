"""The prepacked layers that a function of lite bytecode calls, in order, found without running it.

In: a function without branches, as tracing makes it. Out: the records among its constants. The code
keeps values on a stack and in registers; here they are the numbers of the operations that would
compute them. The order is `export.deploy.call_order`: torch's mobile passes move shortcuts ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.deploy.call_order import call_order
from export.formats.torchscript.lite_file.safe_unpickler import Record


def called_records(function: Mapping[str, Any]) -> list[tuple[Record, str]]:
    """Records with a name for messages, once for each call that uses them.

    Args:
        function: ``instructions``, ``operators`` and ``constants`` of the bytecode.

    Raises:
        ValueError, IndexError, KeyError: unexpected in a traced module, or
            inconsistent instructions.
    """
    before: list[list[int]] = []  # for each value those that it was computed from
    records: dict[int, tuple[Record, str]] = {}
    stack: list[int] = []
    registers: dict[int, int] = {}

    def made_of(values: list[int]) -> int:
        before.append(values)
        return len(before) - 1

    def taken(count: int) -> list[int]:
        if count > len(stack):
            raise ValueError(f"{count} values wanted of a stack of {len(stack)}")
        values = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return values

    stack += [made_of([]), made_of([])]  # the module itself and the image
    for instruction, first, second in function["instructions"]:
        if instruction == "LOADC":
            constant = function["constants"][first]
            stack.append(made_of([]))
            if isinstance(constant, Record):
                records[stack[-1]] = (constant, f"constant {first}")
        elif instruction == "OP":
            name, overload, count = function["operators"][first]
            made = made_of(taken(count))
            stack += [made] * _outputs(name, overload)
        elif instruction == "LIST_CONSTRUCT":  # type, count
            stack.append(made_of(taken(second)))
        elif instruction == "TUPLE_CONSTRUCT":
            stack.append(made_of(taken(first)))
        elif instruction in ("LOAD", "MOVE"):
            stack.append(registers[first])
        elif instruction == "STORE":
            (registers[first],) = taken(1)
        elif instruction == "STOREN":
            registers |= dict(zip(range(first, first + second), taken(second), strict=True))
        elif instruction == "DROP":
            taken(1)
        elif instruction == "RET":
            break
        elif instruction != "DROPR":
            raise ValueError(f"instruction {instruction} is not expected in a traced module")
    order = call_order([*stack, *range(len(before))], before, [[] for _ in before])
    return [records[number] for number in order if number in records]


def _outputs(name: str, overload: str) -> int:
    """How many values an operator returns."""
    import torch

    for schema in torch._C._jit_get_schemas_for_operator(name):
        if schema.overload_name == overload:
            return len(schema.returns)
    raise ValueError(f"operator {name} {overload} is unknown to this torch")
