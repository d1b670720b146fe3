"""Follows a function of lite bytecode, instruction by instruction, without running an operator.

In: a function, its arguments, and what stands for the result of an operator. Out: what it returns.
Values are kept on a stack and in registers, as torch's own machine does
(torch/csrc/jit/mobile/interpreter.cpp); what they are, only the caller knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MOST_STEPS: Final = 2_000_000  # a packed layer takes some hundred
# What the compiler writes as an instruction instead of a call: operator, overload, arguments.
COMPUTING: Final = {
    "NUM_TO_TENSOR": ("prim::NumToTensor", "Scalar", 1),
    "TUPLE_INDEX": ("prim::TupleIndex", "", 2),
    "UNCHECKED_CAST": ("prim::unchecked_cast", "", 1),
    "DIM": ("aten::dim", "", 1),
    "DTYPE": ("prim::dtype", "", 1),
    "DEVICE": ("prim::device", "", 1),
    "__IS__": ("aten::__is__", "", 2),
    "__ISNOT__": ("aten::__isnot__", "", 2),
    "__NOT__": ("aten::__not__", "", 1),
}
Operator = Callable[[str, str, list[Any]], Sequence[Any]]


@dataclass(eq=False)
class LiteObject:
    """An object of a TorchScript class: its attributes by their number in the class."""

    attributes: dict[int, Any] = field(default_factory=dict)


def follow(function: Mapping[str, Any], arguments: Sequence[Any], operator: Operator) -> Any:
    """What the function returns.

    Args:
        function: ``instructions``, ``operators`` and ``constants`` of the bytecode.
        arguments: the module first.
        operator: given an operator's name, overload and arguments; answers its results.

    Raises:
        ValueError, IndexError, KeyError: inconsistent instructions, one that is not expected, or
            a branch that depends on a value that is not known.
    """
    instructions, constants = function["instructions"], function["constants"]
    stack: list[Any] = list(arguments)
    registers: dict[int, Any] = {}
    place = steps = 0

    def taken(count: int) -> list[Any]:
        if not 0 <= count <= len(stack):
            raise ValueError(f"{count} values wanted of a stack of {len(stack)}")
        values = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return values

    while True:
        steps += 1
        if steps > MOST_STEPS or not 0 <= place < len(instructions):
            raise ValueError(f"it does not end, at instruction {place}")
        instruction, first, second = instructions[place]
        place += 1
        if instruction == "RET":
            (answer,) = taken(1)
            return answer
        if instruction == "LOADC":
            stack.append(constants[first])
        elif instruction in ("LOAD", "MOVE"):
            stack.append(registers[first])
        elif instruction == "STORE":
            (registers[first],) = taken(1)
        elif instruction == "STOREN":
            registers |= dict(zip(range(first, first + second), taken(second), strict=True))
        elif instruction == "DROP":
            taken(1)
        elif instruction == "DROPR":
            registers.pop(first, None)
        elif instruction == "OP":
            name, overload, count = function["operators"][first]
            stack += operator(name, overload, taken(count))
        elif instruction == "LIST_CONSTRUCT":  # type, count
            stack.append(taken(second))
        elif instruction == "TUPLE_CONSTRUCT":
            stack.append(tuple(taken(first)))
        elif instruction == "LIST_UNPACK":
            stack += _unpacked(taken(1)[0], first)
        elif instruction == "JF":
            place += 0 if _known(taken(1)[0]) else first - 1
        elif instruction == "JMP":
            place += first - 1
        elif instruction == "LOOP":  # done, most, condition, what is carried from turn to turn
            done, most, condition, *carried = taken(second + 1)
            if done < most and _known(condition):
                stack += [done + 1, most, done, *carried]
            else:
                stack += carried
                place += first - 1
        elif instruction == "GET_ATTR":
            stack.append(_held(taken(1)[0])[first])
        elif instruction == "SET_ATTR":
            owner, value = taken(2)
            _held(owner)[first] = value
        elif instruction in COMPUTING:
            name, overload, count = COMPUTING[instruction]
            stack += operator(name, overload, taken(count))
        else:
            raise ValueError(f"instruction {instruction} is not expected")


def _unpacked(value: Any, count: int) -> list[Any]:
    """The items of a list; what is not known as a list stands for each of its items."""
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{count} values wanted of a list of {len(value)}")
    return list(value)


def _known(condition: Any) -> bool:
    if not isinstance(condition, bool):
        raise ValueError("a branch depends on what is not known before it runs")
    return condition


def _held(owner: Any) -> dict[int, Any]:
    if not isinstance(owner, LiteObject):
        raise ValueError("an attribute of what is no object")
    return owner.attributes
