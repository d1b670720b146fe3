"""The operations of a program: the list of what is allowed, and one way to write each.

Every operation is an overload of ``torch.ops.aten`` with one result and no effect on its inputs. A
network of another library comes down to these (`pipeline.program.normal_form`); what does not is
refused by name. An operation is written with all its arguments, in the order of its schema, so that
nothing depends on a default of torch; those of `FIXED` have one value and are not written at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import torch
from torch import fx
from torch._ops import OpOverload

from pipeline.errors import BadInput

Value: TypeAlias = "fx.Node | int | float | str | Sequence[Value] | None"

# fmt: off
CONVOLUTIONAL: Final = (
    "conv2d", "linear", "batch_norm", "layer_norm", "group_norm", "prelu", "relu", "hardtanh",
    "clamp", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "leaky_relu", "elu", "mish",
    "softplus", "tanh", "add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "neg",
    "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "mean.dim", "amax", "cat", "slice.Tensor",
    "permute", "reshape", "constant_pad_nd", "upsample_nearest2d.vec", "upsample_bilinear2d.vec",
)
ATTENTION: Final = (  # and other late-comers
    "matmul", "softmax.int", "linalg_vector_norm", "sum.dim_IntList", "abs", "erf", "exp", "sqrt",
    "rsqrt", "pow.Tensor_Scalar", "maximum", "minimum", "select.int", "expand", "index.Tensor",
    "pixel_shuffle", "sym_size.int", "fake_quantize_per_tensor_affine.tensor_qparams",  # of int8
)
# fmt: on
COMMUTATIVE: Final = frozenset({"add.Tensor", "mul.Tensor", "maximum", "minimum"})
ROUND: Final = "fake_quantize_per_tensor_affine.tensor_qparams"  # to 8 bits, and back
LENGTH: Final = "sym_size.int"  # the only one whose result is a number: how many images
# Argument -> its one value.
FIXED: Final[Mapping[str, Value]] = {
    "alpha": 1,
    "cudnn_enable": False,
    "cudnn_enabled": False,
    "divisor_override": None,
    "dtype": None,
    "implicit": False,
    "momentum": 0.0,
    "training": False,
}
IGNORED: Final = ("cudnn_enable", "cudnn_enabled", "momentum")  # any value gives the same result


def _overload(name: str) -> OpOverload:
    packet, _, overload = name.partition(".")
    found = getattr(getattr(torch.ops.aten, packet), overload or "default")
    assert isinstance(found, OpOverload)
    return found


OPERATIONS: Final[Mapping[str, OpOverload]] = {
    name: _overload(name) for name in CONVOLUTIONAL + ATTENTION
}
_NAME_OF: Final = {overload: name for name, overload in OPERATIONS.items()}


def name_of(target: object) -> str | None:
    """The name of an operation of torch; None if it is not among those of a program."""
    return _NAME_OF.get(target) if isinstance(target, OpOverload) else None


def operation_of(node: fx.Node) -> str | None:
    """The name of a node's operation; None of an input, a tensor or the output."""
    return name_of(node.target)


def arguments_of(node: fx.Node) -> dict[str, Value]:
    """Those of a program's node, by name, without the fixed ones."""
    written: dict[str, Any] = {
        **dict(zip(_schema(str(operation_of(node))), node.args, strict=False)),
        **node.kwargs,
    }
    return {name: _as_list(value) for name, value in written.items() if name not in FIXED}


def bound(operation: str, args: Sequence[Value], kwargs: Mapping[str, Value]) -> dict[str, Value]:
    """All arguments of a call by name, in one form: lists at full length, floats as floats.

    Raises:
        BadInput: an argument that the operation does not have, of another type, or fixed to another
            value.
    """
    schema = _schema(operation)
    given = {**dict(zip(schema, args, strict=False)), **kwargs}
    if extra := [*given.keys() - schema.keys(), *args[len(schema) :]]:
        raise BadInput(f"{operation} has no argument {extra[0]}")
    found: dict[str, Value] = {}
    for name, argument in schema.items():
        if name in FIXED:
            if name not in IGNORED and given.get(name, FIXED[name]) != FIXED[name]:
                raise BadInput(f"{operation} with {name} {given[name]!r}")
            found[name] = FIXED[name]
            continue
        if name not in given and not argument.has_default_value():
            raise BadInput(f"{operation} lacks {name}")
        value = _as_list(given.get(name, argument.default_value))
        found[name] = _fitted(value, argument, f"{operation}: {name}")
    return found


def call(operation: str, arguments: Mapping[str, Value]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Bound arguments as those of a node: by place, and by name where the schema wants that."""
    schema = _schema(operation)
    by_place = tuple(arguments[name] for name, a in schema.items() if not a.kwarg_only)
    return by_place, {name: arguments[name] for name, a in schema.items() if a.kwarg_only}


@cache
def _schema(operation: str) -> dict[str, Any]:  # torch.Argument, of which torch types a part
    return {argument.name: argument for argument in OPERATIONS[operation]._schema.arguments}


def _as_list(value: Value) -> Value:
    return [_as_list(item) for item in value] if isinstance(value, list | tuple) else value


def _fitted(value: Value, argument: Any, where: str) -> Value:
    kind = str(argument.type)
    if argument.N is not None and isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list) and argument.N is not None and len(value) == 1:
        value = value * argument.N
    if not _is(kind, value) and not (argument.name == "other" and _is("number", value)):
        raise BadInput(f"{where} is {_said(value)}, not {kind}")
    if isinstance(value, int) and not isinstance(value, bool) and "int" not in kind:
        return float(value)
    return value


def _is(kind: str, value: Value) -> bool:
    """Whether a value is of a type of torch's schemas."""
    if kind.startswith("Optional["):
        return value is None or _is(kind[9:-1], value)
    if kind.startswith("List["):
        return isinstance(value, list) and all(_is(kind[5:-1], item) for item in value)
    if isinstance(value, fx.Node):
        return kind == ("int" if operation_of(value) == LENGTH else "Tensor")
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    if kind == "str":
        return isinstance(value, str)
    if kind == "int":
        return isinstance(value, int)
    return kind in ("float", "number") and isinstance(value, int | float) and not math.isnan(value)


def _said(value: Value) -> str:
    return value.name if isinstance(value, fx.Node) else repr(value)
