"""The results of a file's operators, written as operations of a program.

In: an operator of the bytecode and its arguments. Out: a `Place` where the result depends on the
pixels, else what it is. Which operators change an argument in place, and which results share
memory, torch's schemas tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, fx

from export.errors import CannotRunHere
from export.formats.torchscript.lifting.entries import COMPUTED, ENTRIES, PYTHON, is_known
from export.formats.torchscript.lifting.file_input import FileInput
from export.formats.torchscript.lifting.integer_kernels import Coded, Grid, kept, kernel
from export.formats.torchscript.lifting.places import Place
from export.formats.torchscript.lifting.prepacked import Prepacked, prepacked
from pipeline.errors import BadInput
from pipeline.program.builder import VALUE, Builder
from pipeline.program.normal_form import RULES
from pipeline.program.operations import name_of
from pipeline.program.shape_rules import written_over

# torch's numbers of types (c10/core/ScalarType.h).
TYPES: Final = {
    0: torch.uint8,
    1: torch.int8,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    11: torch.bool,
}
TYPES_BY_DTYPE: Final = {dtype: number for number, dtype in TYPES.items()}
RUNNERS: Final = ("prepacked::conv2d_clamp_run", "prepacked::linear_clamp_run")
PREPACKERS: Final = {
    "prepacked::conv2d_clamp_prepack": "conv2d",
    "prepacked::linear_clamp_prepack": "linear",
}


class Operators:
    """Called with an operator's name, overload and arguments; answers the list of its results."""

    def __init__(self, build: Builder) -> None:
        self.build = build
        self.prepacked = 0

    def __call__(self, name: str, overload: str, arguments: list[Any]) -> list[Any]:
        """See `export.formats.torchscript.lite_file.bytecode_machine.follow`.

        Raises:
            CannotRunHere: an operator that is not known here, with its name.
        """
        full = f"{name}.{overload}" if overload else name
        if name in RUNNERS:
            x, layer = arguments
            if not isinstance(x, Place | Tensor) or not isinstance(layer, Prepacked):
                raise ValueError(f"{name} of what is no tensor, or no layer")
            return [Place(layer.run(self.build, self.build.node(_read(x))))]
        if name in PREPACKERS:
            self.prepacked += 1
            return [prepacked(f"layer_{self.prepacked}", PREPACKERS[name], arguments)]
        if any(isinstance(argument, FileInput) for argument in arguments):
            pixels, *others = arguments
            if isinstance(pixels, FileInput):
                return [_placed(pixels.after(self.build, name, others))]
        if (made := kernel(self.build, full, arguments)) is not None:
            return [made]
        if full == "prim::TupleUnpack":
            return list(arguments[0])
        if full == "prim::dtype":
            (tensor,) = _read(arguments)
            found = tensor.meta[VALUE][0] if isinstance(tensor, fx.Node) else tensor
            return [TYPES_BY_DTYPE[found.dtype]]
        if full in PYTHON:
            return [PYTHON[full](*arguments)]
        try:
            return self._computed(name, overload, full, arguments)
        except BadInput as error:
            raise CannotRunHere(f"a program cannot express {error}, of {full}") from error

    def _computed(self, name: str, overload: str, full: str, arguments: list[Any]) -> list[Any]:
        target = _target(name, overload, full)
        schema = target._schema
        given, named = _by_schema(schema, arguments)
        grid = kept(full, arguments)
        written = schema.arguments and _is_written(schema.arguments[0])
        if any(map(_is_written, schema.arguments[1:])):
            raise _unknown(full)
        if written:
            target = _target(name.removesuffix("_"), overload, full)
        made = self._result(target, full.partition("::")[0], *_read((given, named)))
        if written:
            if not isinstance(given[0], Place) or not isinstance(made, fx.Node):
                raise CannotRunHere(f"{full} on a constant is not known here")
            given[0].write(made)
            return [given[0]]
        if len(schema.returns) > 1:
            return [_placed(each) for each in made]
        placed = _placed(made, _whole(schema, given, made), self._with_part(target, given, named))
        return [_with_grid(placed, grid) if grid else placed]

    def _result(self, target: Any, space: str, given: Any, named: Any) -> Any:
        packet, overload = target._schema.name.rpartition("::")[2], target._overloadname
        name = packet if overload == "default" else f"{packet}.{overload}"
        ours = target in RULES or name_of(target) is not None
        if is_known(given) and is_known(list(named.values())):
            if not ours and f"{space}::{packet}" not in COMPUTED:
                raise _unknown(f"{space}::{name}")
            with torch.no_grad():
                return target(*given, **named)
        if space == "aten" and name in ENTRIES:
            return ENTRIES[name](self.build, *given, **named)
        if target in RULES:
            return RULES[target](self.build, *given, **named)
        if (operation := name_of(target)) is None:
            raise _unknown(f"{space}::{name}")
        return self.build.add(operation, *given, **named)

    def _with_part(
        self, target: Any, given: Any, named: Any
    ) -> Callable[[fx.Node, fx.Node], fx.Node] | None:
        if target is not torch.ops.aten.slice.Tensor:
            return None

        def with_part(whole: fx.Node, part: fx.Node) -> fx.Node:
            made: fx.Node = written_over(self.build, whole, part, *given[1:], **named)
            return made

        return with_part


def _target(name: str, overload: str, full: str) -> Any:
    space, _, packet = name.partition("::")
    if space not in ("aten", "prim"):
        raise _unknown(full)
    try:
        found = getattr(getattr(torch.ops, space), packet)
        return getattr(found, overload or "default")
    except AttributeError as error:
        raise _unknown(full) from error


def _unknown(full: str) -> CannotRunHere:
    return CannotRunHere(f"operation {full} of TorchScript is not known here")


def _by_schema(schema: Any, arguments: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """By place and by name; numbers of types as types."""
    if len(arguments) > len(schema.arguments):
        raise ValueError(f"{schema.name} has no {len(arguments)} arguments")
    given, named = [], {}
    for argument, value in zip(schema.arguments, arguments, strict=False):
        if "ScalarType" in str(argument.real_type) and value is not None:
            if value not in TYPES:
                raise CannotRunHere(f"{schema.name} with the type {value} is not known here")
            value = TYPES[value]
        if argument.kwarg_only:
            named[argument.name] = value
        else:
            given.append(value)
    return given, named


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _read(value: Any) -> Any:
    """Places as what they hold."""
    if isinstance(value, Place):
        return value.read()
    if isinstance(value, list | tuple):
        return type(value)(map(_read, value))
    if isinstance(value, dict):
        return {key: _read(item) for key, item in value.items()}
    return value


def _placed(made: Any, whole: Place | None = None, with_part: Any = None) -> Any:
    """A result as the machine keeps it: nodes as places, which may share memory with `whole`."""
    if isinstance(made, fx.Node):
        if whole is None:
            return Place(made)
        return Place(made, whole.kin, whole if with_part else None, with_part)
    if isinstance(made, list | tuple):
        return [_placed(each, whole) for each in made]
    return made


def _with_grid(made: Any, grid: Grid) -> Any:
    """Codes instead of numbers."""
    if isinstance(made, list):
        return [_with_grid(each, grid) for each in made]
    return Coded(made.node, grid=grid) if isinstance(made, Place) else made


def _whole(schema: Any, given: list[Any], made: Any) -> Place | None:
    """The argument whose memory the result may share."""
    first = given[0] if given else None
    if not isinstance(first, Place):
        return None
    shares = any(r.alias_info is not None for r in schema.returns) or made is first.node
    return first if shares and schema.name != "aten::clone" else None
