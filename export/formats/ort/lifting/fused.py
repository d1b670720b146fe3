"""Operations that onnxruntime puts together (onnxruntime, docs/ContribOperators.md).

Its optimiser has folded constants, removed what does nothing, and put activations, sums and factors
into the layer before them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.formats.onnx.lifting.layers import conv
from pipeline.program.arithmetic_rules import clamped
from pipeline.program.shape_rules import transposed

if TYPE_CHECKING:
    from torch import fx

    from export.formats.onnx.lifting.call import Call, Entry, Result
    from pipeline.program.builder import Builder


def with_activation(layer: Entry) -> Entry:
    """An entry for a layer with a summand and an activation after it."""

    def entry(call: Call) -> Result:
        made: Any = layer(call)
        if layer is conv and call.has(3):
            made = call.build.add("add.Tensor", made, call.value(3))
        name = call.attribute("activation", "")
        numbers = call.attribute("activation_params", [])
        numbers += [
            call.attribute(f"activation_{key}")
            for key in ("alpha", "beta", "gamma")
            if f"activation_{key}" in call.node.attributes
        ]
        return _activated(call, made, name, numbers)

    return entry


def _activated(call: Call, x: fx.Node, name: str, numbers: list[float]) -> fx.Node:
    if name == "":
        return x
    if name in ("Relu", "Sigmoid", "Tanh"):
        return call.build.add(name.lower(), x)
    if name == "Clip":
        return clamped(call.build, x, *numbers)
    if name == "LeakyRelu":
        return call.build.add("leaky_relu", x, *numbers)
    if name == "HardSigmoid" and abs(numbers[0] - 1 / 6) < 1e-6 and numbers[1] == 0.5:
        return call.build.add("hardsigmoid", x)
    raise call.unknown(f"with activation {name} {numbers}")


def gelu(call: Call) -> Result:
    """By the error function."""
    return call.build.add("gelu", call.x, approximate="none")


def gelu_of_sum(call: Call) -> Result:
    """Of a sum with a bias."""
    total = call.build.add("add.Tensor", call.x, call.inputs[1])
    return call.build.add("gelu", total, approximate="none")


def gated(call: Call) -> Result:
    """X sigmoid(alpha x)."""
    alpha = call.attribute("alpha", 1.702)
    if alpha == 1:
        return call.build.add("silu", call.x)
    inside = call.build.add("mul.Tensor", call.x, alpha)
    return call.build.add("mul.Tensor", call.x, call.build.add("sigmoid", inside))


def matmul(call: Call) -> Result:
    """Alpha A B, each turned if that is told."""
    call.only("transBatchA", 0)
    call.only("transBatchB", 0)
    build: Builder = call.build
    sides = [
        transposed(build, call.value(i), -2, -1) if call.attribute(key, 0) else call.value(i)
        for i, key in enumerate(("transA", "transB"))
    ]
    product = build.add("matmul", *sides)
    alpha = call.attribute("alpha", 1.0)
    return product if alpha == 1 else build.add("mul.Tensor", product, alpha)
