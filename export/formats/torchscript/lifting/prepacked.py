"""Prepacked layers, as XNNPACK runs them: a convolution or linear layer and what limits it.

In: a record among the constants of a bytecode, or what the file's own code prepacks when it is
loaded. Out: the operations of a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, fx

    from export.formats.torchscript.lite_file.safe_unpickler import Record
    from pipeline.program.builder import Builder

CONTEXTS = {"Conv2dOpContext": "conv2d", "LinearOpContext": "linear"}


@dataclass(frozen=True, eq=False)
class Prepacked:
    """One layer.

    Attributes:
        name: for messages, and of its tensors.
        operation: ``conv2d`` or ``linear``.
        weight, bias: float32.
        settings: of a convolution: stride, padding, dilation, groups.
        low, high: what limits its result; None: nothing.
        normalisation: mean and std, float32 (1, 3, 1, 1), that it takes from its input first.
    """

    name: str
    operation: str
    weight: Tensor
    bias: Tensor | None
    settings: tuple[Any, ...]
    low: float | None
    high: float | None
    normalisation: tuple[Tensor, Tensor] | None = None

    def run(self, build: Builder, x: fx.Node) -> fx.Node:
        """The operations on an input."""
        if self.normalisation:
            mean, std = self.normalisation
            x = build.add("div.Tensor", build.add("sub.Tensor", x, mean), std)
        weight = build.hold(f"{self.name}.weight", self.weight)
        bias = None if self.bias is None else build.hold(f"{self.name}.bias", self.bias)
        x = build.add(self.operation, x, weight, bias, *self.settings)
        if (self.low, self.high) == (None, None):
            return x
        if (self.low, self.high) == (0, None):
            return build.add("relu", x)
        return build.add("hardtanh", x, self.low, self.high)


def prepacked(name: str, operation: str, state: Any) -> Prepacked:
    """From weight, bias, the settings of a convolution, and its limits."""
    weight, bias, *settings, low, high = state
    return Prepacked(name, operation, weight, bias, tuple(settings), low, high)


def stored_prepacked(name: str, record: Record, tensor: Any) -> Prepacked | None:
    """That of a record; None if it is of another kind.

    Args:
        name: for messages.
        record: among the constants.
        tensor: makes a tensor of an array.
    """
    operation = CONTEXTS.get(record.name.rpartition(".")[2])
    return prepacked(name, operation, map(tensor, record.state)) if operation else None
