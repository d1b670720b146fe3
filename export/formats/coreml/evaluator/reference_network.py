"""PyTorch with a package's own weights: what the package must compute, however compressed.

In: a program and the network it was made from. Out: a module that takes the same pixels. If both
agree to rounding, the structure (operations, order, padding, colour, normalisation) is right, and
only weights can differ between this reference network and the checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from export.deploy.graph import Outputs, listed, to_outputs
from export.deploy.layer_order import network_holding
from export.deploy.layers import Layer, LayerTrace
from export.errors import Unreadable
from export.formats.coreml.evaluator.evaluate import ValueReference, evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.deploy.graph import PixelGraph
    from export.formats.coreml.evaluator.evaluate import Program, Step

# Operation -> tensor of an `export.deploy.layers.Layer` -> argument of the operation.
KINDS: Final = {
    "conv": {"weight": "weight", "bias": "bias"},
    "linear": {"weight": "weight", "bias": "bias"},
    "batch_norm": {
        "weight": "gamma",
        "bias": "beta",
        "mean": "mean",
        "variance": "variance",
        "epsilon": "epsilon",
    },
}


class ReferenceNetwork(nn.Module):
    """Normalisation by the program's constants, the network with the program's weights, softmax."""

    def __init__(self, network: nn.Module, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.network, self.mean, self.scale = network, mean, scale

    def logits(self, pixels: Tensor) -> Tensor:
        """float32 (N, 3, H, W), 0..255 RGB -> float32 (N, K)."""
        return listed(self.network((pixels - self.mean) * self.scale))[0]

    def forward(self, pixels: Tensor) -> Outputs:
        """float32 (N, 3, H, W), 0..255 RGB -> probs, or probs and evidence."""
        return to_outputs(self.network((pixels - self.mean) * self.scale))


def build_reference_network(program: Program, graph: PixelGraph) -> ReferenceNetwork:
    """The reference network of a program.

    Raises:
        Unreadable: the program's layers are not those of the network.
    """
    width, height = program.size
    network = network_holding(graph.network, _weighted_layers(program), (height, width))
    mean, scale = (
        torch.from_numpy(value.astype(np.float32).reshape(1, 3, 1, 1))
        for value in normalisation(program)
    )
    return ReferenceNetwork(network, mean, scale)


def stored_layers(program: Program) -> list[Layer]:
    """The normalisation and the layers of a program in call order, weights decompressed.

    Raises:
        Unreadable: the program does not begin with a normalisation.
    """
    mean, scale = normalisation(program)
    return [
        Layer("normalise", "normalisation", {"weight": mean, "bias": scale}),
        *_weighted_layers(program),
    ]


def trace_program(program: Program, image: NDArray[np.uint8]) -> list[LayerTrace]:
    """Input and output of each weighted layer for one image, uint8 (H, W, 3) RGB.

    Raises:
        Unreadable: the program does not fit together.
    """
    values: dict[str, NDArray[np.float32]] = {}
    evaluate(program, image, watch=lambda _, name, value: values.update({name: value.numpy()}))

    def input_of(step: Step) -> NDArray[np.float32]:
        x = step.arguments["x"]  # a layer may read a constant, such as a map of positions
        return values[x.name] if isinstance(x, ValueReference) else np.asarray(x, dtype=np.float32)

    return [
        LayerTrace(step.operation, step.output, input_of(step), values[step.output])
        for step in program.steps
        if step.operation in KINDS
    ]


def _weighted_layers(program: Program) -> list[Layer]:
    return [
        Layer(
            step.operation,
            step.output,
            {k: step.arguments[a] for k, a in KINDS[step.operation].items() if a in step.arguments},
        )
        for step in program.steps
        if step.operation in KINDS
    ]


def normalisation(program: Program) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """What the program subtracts from the pixels and multiplies them by: (3,) each, as stored.

    A mean of zero is not subtracted: the converter leaves it out.

    Raises:
        Unreadable: the program does not begin with a subtraction and a multiplication.
    """
    arithmetic = [step for step in program.steps if step.operation not in ("cast",)][:2]
    if arithmetic and arithmetic[0].operation in ("mul", "real_div"):
        arithmetic = arithmetic[:1]
    begins_with = [step.operation for step in arithmetic]
    if begins_with[-1:] not in (["mul"], ["real_div"]) or begins_with[:-1] not in ([], ["sub"]):
        begins = ", ".join(step.operation for step in arithmetic)
        raise Unreadable(f"{program.name} begins with {begins}, not with the normalisation")
    values = []
    for step in arithmetic:
        constant = step.arguments["y"]
        if not isinstance(constant, np.ndarray) or constant.size not in (1, 3):
            raise Unreadable(f"{program.name}: {step.operation} is not by a constant per channel")
        values.append(np.broadcast_to(constant.reshape(-1), (3,)))
    if arithmetic[-1].operation == "real_div":
        values[-1] = np.reciprocal(values[-1])
    if len(values) == 1:
        values = [np.zeros_like(values[0]), values[0]]
    return values[0], values[1]
