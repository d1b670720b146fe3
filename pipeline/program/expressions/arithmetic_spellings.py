"""Spellings of what computes."""

from __future__ import annotations

import math
from typing import Any, Final

from pipeline.program.expressions.expression import Expression
from pipeline.program.expressions.shape_spellings import reshape
from pipeline.program.expressions.spelling import Write
from pipeline.program.operations import COMMUTATIVE

NEUTRAL: Final = {"add.Tensor": 0, "sub.Tensor": 0, "mul.Tensor": 1, "div.Tensor": 1}
# x times this of x -> the one operation that both are.
GATES: Final = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
LAYERS: Final = {"conv2d": -3, "linear": -1}  # operation -> the axis of its channels
DIGITS: Final = 6  # of a factor that was multiplied from others


def neutral(_: Write, made: Expression) -> Expression | None:
    """A sum with 0, a product with 1."""
    none = NEUTRAL[made.kind]
    if made.attributes["other"] == none:
        return made.inputs[0]
    pairs = [made.inputs] if len(made.inputs) == 2 else []
    if made.kind in COMMUTATIVE:
        pairs += [pair[::-1] for pair in pairs]
    for x, constant in pairs:
        nothing = constant.tensor is not None and bool((constant.tensor == none).all())
        if nothing and x.shape == made.shape:
            return x
    return None


def gated(write: Write, made: Expression) -> Expression | None:
    """Of x sigmoid(x) a silu, of x hardsigmoid(x) a hardswish, of x tanh(softplus(x)) a mish."""
    if len(made.inputs) != 2:
        return None
    for gate, x in (made.inputs, made.inputs[::-1]):
        kind = GATES.get(gate.kind)
        inside = gate.inputs[0] if gate.inputs else gate
        if gate.kind == "tanh" and inside.kind == "softplus":
            plain = (inside.attributes["beta"], inside.attributes["threshold"]) == (1.0, 20.0)
            kind, inside = ("mish" if plain else None), inside.inputs[0]
        if kind and inside.whole == x.whole:
            return write.operation(made.node, kind, made.shape, {"self": "input"}, (x,))
    return None


def gelu(write: Write, made: Expression) -> Expression | None:
    """A product x (1 + erf(x / sqrt 2)) / 2: Hendrycks and Gimpel, arXiv:1606.08415."""
    number, factors = _factors(made)
    if abs(number - 0.5) > 1e-6 or len(factors) != 2:
        return None
    for gate, x in (factors, factors[::-1]):
        if gate.kind != "add.Tensor" or gate.attributes["other"] != 1:
            continue
        (erf,) = gate.inputs
        if erf.kind != "erf":
            continue
        scale, inside = _factors(erf.inputs[0])
        if len(inside) == 1 and inside[0].whole == x.whole and abs(scale - math.sqrt(0.5)) < 1e-6:
            attributes: dict[str, object] = {"self": "input", "approximate": "none"}
            return write.operation(made.node, "gelu", made.shape, attributes, (x,))
    return None


def _factors(x: Expression) -> tuple[float, list[Expression]]:
    """A product as one number and the rest."""
    number = x.attributes.get("other")
    if x.kind == "div.Tensor" and isinstance(number, int | float) and number:
        before, rest = _factors(x.inputs[0])
        return before / number, rest
    if x.kind != "mul.Tensor":
        return 1.0, [x]
    total = float(number) if isinstance(number, int | float) else 1.0
    every: list[Expression] = []
    for each in x.inputs:
        before, rest = _factors(each)
        total, every = total * before, every + rest
    return total, every


def factors_last(write: Write, made: Expression) -> Expression | None:
    """A number by which a side of a matrix product is multiplied is one of the product."""
    sides = [_number_of(write, x) for x in made.inputs]
    if all(number == 1 for number, _ in sides):
        return None
    inputs = tuple(x for _, x in sides)
    product = write.operation(made.node, made.kind, made.shape, made.attributes, inputs)
    number = float(f"{math.prod(number for number, _ in sides):.{DIGITS}g}")
    attributes: dict[str, object] = {"self": "input", "other": number}
    return write.operation(made.node, "mul.Tensor", made.shape, attributes, (product,))


def _number_of(write: Write, x: Expression) -> tuple[float, Expression]:
    if x.kind in ("permute", "reshape"):
        factor, inside = _number_of(write, x.inputs[0])
        if factor == 1:
            return 1.0, x
        return factor, write.operation(x.node, x.kind, x.shape, x.attributes, (inside,))
    number = x.attributes.get("other")
    if x.kind in ("mul.Tensor", "div.Tensor") and isinstance(number, int | float) and number:
        return (float(number) if x.kind == "mul.Tensor" else 1 / number), x.inputs[0]
    return 1.0, x


def layer(write: Write, made: Expression) -> Expression | None:
    """A matrix product with a constant matrix is a linear layer."""
    x, weight = made.inputs
    if weight.tensor is None or len(weight.shape) != 2:
        return None
    turned = write.tensor(weight.node, weight.tensor.t(), weight.names)
    attributes: dict[str, object] = {"input": "input", "weight": "input", "bias": None}
    return write.operation(made.node, "linear", made.shape, attributes, (x, turned))


def of_rows(write: Write, made: Expression) -> Expression | None:
    """A linear layer is one of rows, however the axes before the last are put together."""
    x, *tensors = made.inputs
    if len(x.shape) == 2:
        return None
    rows = math.prod(x.shape[:-1])
    inputs = (reshape(write, x, (rows, x.shape[-1]), made), *tensors)
    shape = (rows, made.shape[-1])
    found = write.operation(made.node, made.kind, shape, made.attributes, inputs)
    return reshape(write, found, made.shape, made)


def _layer_in(x: Expression) -> Expression:
    """The layer whose reshaped rows an expression is, or the expression."""
    inside = x.inputs[0] if x.kind == "reshape" else x
    return inside if inside.kind == "linear" and inside.shape[-1:] == x.shape[-1:] else x


def with_bias(write: Write, made: Expression) -> Expression | None:
    """A constant for each channel that is added to a layer is its bias, or is added to that.

    The sum is rounded to fp32, as a runtime's optimiser does it.
    """
    if len(made.inputs) != 2:
        return None
    for result, constant in (made.inputs, made.inputs[::-1]):
        x = _layer_in(result)
        if x.kind not in LAYERS or any(each.tensor is None for each in x.inputs[1:]):
            continue
        if constant.tensor is None or not _only_along(constant, LAYERS[x.kind], result.shape):
            continue
        bias = write.tensor(constant.node, constant.tensor.reshape(-1), constant.names)
        of_layer, weight, *before = x.inputs
        for each in before:
            assert each.tensor is not None
            total = write.stored(each.tensor) + write.stored(constant.tensor.reshape(-1))
            names = tuple(dict.fromkeys(each.names + constant.names))
            bias = write.tensor(each.node, total, names)
        attributes = {**x.attributes, "bias": "input"}
        found = write.operation(x.node, x.kind, x.shape, attributes, (of_layer, weight, bias))
        return reshape(write, found, made.shape, made)
    return None


def scaled(write: Write, made: Expression) -> Expression | None:
    """A constant for each channel by which a layer is multiplied is one of its weight and bias.

    Both products are rounded to fp32, as a runtime's optimiser does it.
    """
    if len(made.inputs) != 2:
        return None
    for result, constant in (made.inputs, made.inputs[::-1]):
        x = _layer_in(result)
        if x.kind not in LAYERS or constant.tensor is None:
            continue
        computed = any(each.tensor is None for each in x.inputs[1:])
        if computed or not _only_along(constant, LAYERS[x.kind], result.shape):
            continue
        factor = write.stored(constant.tensor.reshape(-1))
        products = tuple(
            write.tensor(
                each.node,
                write.stored(each.tensor) * factor.reshape(-1, *[1] * (each.tensor.dim() - 1)),
                tuple(dict.fromkeys(each.names + constant.names)),
            )
            for each in x.inputs[1:]
            if each.tensor is not None
        )
        inputs = (x.inputs[0], *products)
        found = write.operation(x.node, x.kind, x.shape, x.attributes, inputs)
        return reshape(write, found, made.shape, made)
    return None


def _only_along(constant: Expression, axis: int, shape: tuple[int, ...]) -> bool:
    lengths = constant.shape
    if len(lengths) > len(shape) or len(lengths) < -axis:
        return False
    channels = lengths[axis]
    return channels == shape[axis] and math.prod(lengths) == channels


def padded(write: Write, made: Expression) -> Expression | None:
    """What is put around before a convolution or pool, and no number but its own, is its padding.

    Padding is then written as (top, left, bottom, right), or as (height, width) if both ends agree.
    """
    x, *rest = made.inputs
    if x.kind != "constant_pad_nd" or x.attributes["value"] != _own(made):
        return None
    pad: Any = x.attributes["pad"]
    if len(pad) > 4 or min(pad) < 0:
        return None
    left, right, top, bottom = (*pad, 0, 0)[:4]
    around = tuple(a + b for a, b in zip((top, left, bottom, right), around_of(made), strict=True))
    padding = around[:2] if around[:2] == around[2:] else around
    attributes = {**made.attributes, "padding": padding}
    return write.operation(made.node, made.kind, made.shape, attributes, (*x.inputs, *rest))


def _own(made: Expression) -> float | None:
    """The number with which an operation pads by itself; None if its padding counts as nothing."""
    if made.kind == "avg_pool2d" and not made.attributes["count_include_pad"]:
        return None
    if made.attributes.get("ceil_mode"):
        return None
    return -math.inf if made.kind == "max_pool2d" else 0.0


def around_of(made: Expression) -> tuple[int, ...]:
    """The padding of a convolution or pool, at all four ends."""
    padding: Any = made.attributes["padding"]
    return tuple(padding) if len(padding) == 4 else (*padding, *padding)


def whole_windows(write: Write, made: Expression) -> Expression | None:
    """Where no window is a part of one, how parts would be counted says nothing."""
    attributes = dict(made.attributes)
    if attributes["ceil_mode"] and _places(made) == made.shape[-2:]:
        attributes["ceil_mode"] = False
    nothing = not any(around_of(made)) and not attributes["ceil_mode"]
    if nothing and "count_include_pad" in attributes:
        attributes["count_include_pad"] = True
    if attributes == made.attributes:
        return None
    return write.operation(made.node, made.kind, made.shape, attributes, made.inputs)


def whole_plane(write: Write, made: Expression) -> Expression | None:
    """A pool with one window over everything is a mean or a maximum."""
    (x,) = made.inputs
    if made.attributes["kernel_size"] != x.shape[-2:] or len(x.shape) != 4:
        return None
    if any(around_of(made)) or made.shape[-2:] != (1, 1):
        return None
    kind = {"max_pool2d": "amax", "avg_pool2d": "mean.dim"}[made.kind]
    attributes: dict[str, object] = {"self": "input", "dim": (2, 3), "keepdim": True}
    return write.operation(made.node, kind, made.shape, attributes, made.inputs)


def _places(made: Expression) -> tuple[int, ...]:
    """How many whole windows there are, down and across."""
    window: Any = made.attributes["kernel_size"]
    step: Any = made.attributes["stride"]
    apart: Any = made.attributes.get("dilation", (1, 1))
    around = around_of(made)
    return tuple(
        (made.inputs[0].shape[i - 2] + around[i] + around[i + 2] - apart[i] * (window[i] - 1) - 1)
        // step[i]
        + 1
        for i in (0, 1)
    )


def kept(write: Write, made: Expression) -> Expression | None:
    """A mean, sum or maximum keeps its axes, and a reshape drops them."""
    if made.attributes["keepdim"]:
        return None
    (x,) = made.inputs
    axes: Any = made.attributes["dim"]
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    attributes = {**made.attributes, "keepdim": True}
    found = write.operation(made.node, made.kind, shape, attributes, made.inputs)
    return reshape(write, found, made.shape, made)


def of_one(_: Write, made: Expression) -> Expression | None:
    """A mean, sum or maximum of one number is the number."""
    (x,) = made.inputs
    return x if made.attributes["keepdim"] and made.shape == x.shape else None


def not_negative(write: Write, made: Expression) -> Expression | None:
    """What is at least 0."""
    if made.attributes["max"] is not None or made.attributes["min"] != 0:
        return None
    return write.operation(made.node, "relu", made.shape, {"self": "input"}, made.inputs)
