"""The int8 variant: a network whose activations pass through 8 bits.

Where is decided on the network's graph (`pipeline.compress.rounding_places`). The places, by the
network's own names, and their scales are stored in the checkpoint; every format quantises at the
same places. `calibrate` finds the scales, `int8_variant` applies them. Affine uint8 activations,
per tensor; symmetric int8 weights, per channel (Jacob et al., CVPR 2018, arXiv:1712.05877).

Older checkpoints have the places of torch's FX quantisation (`pipeline.compress.fx_quantization`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.compress import fx_quantization
from pipeline.compress.activation_ranges import QUANT_MAX, Watch
from pipeline.compress.rounding_places import is_place, kernel_of, with_places

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from pipeline.quantization_grid import Grid


class Rounding(nn.Module):
    """Rounds to 8 bits at a place; the gradient ignores it, but for what is cut off.

    Attributes:
        place: its name.
        scale, zero_point: float32 and int32, (1,).
        exact: let everything pass as it is.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place, self.exact = place, False
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("zero_point", torch.zeros(1, dtype=torch.int32))

    def forward(self, values: Tensor) -> Tensor:
        if self.exact:
            return values
        return torch.fake_quantize_per_tensor_affine(
            values, self.scale, self.zero_point, 0, QUANT_MAX
        )


def calibrate(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, tuple[float, int]]:
    """Scale and zero point of every activation, with the least squared error over `batches`.

    Args:
        network: in evaluation mode, its batch norms folded; it is not changed.
        batches: float32 (N, 3, H, W), normalised.
    """
    images = list(batches)
    if not images:
        raise ValueError("no images to calibrate with")
    watches: dict[str, Watch] = {}
    watched = with_places(network, lambda name: watches.setdefault(name, Watch()))
    with torch.inference_mode():
        for pixels in images:
            watched(pixels)
        for watch in watches.values():
            watch.count()
        for pixels in images:
            watched(pixels)
    return {name: watch.scale() for name, watch in watches.items()}


def int8_variant(
    network: nn.Module, activations: Mapping[str, tuple[float, int]], grids: Mapping[str, Grid]
) -> nn.Module:
    """`network` with its activations rounded to 8 bits at the places of `activations`.

    Its arithmetic is float32 on rounded values: what an integer kernel computes, up to the kernel's
    own rounding.

    Raises:
        KeyError: `activations` belongs to another network.
    """
    if fx_quantization.made_by(activations):
        return fx_quantization.int8_variant(network, activations, grids)
    variant = with_places(network, Rounding)
    places = rounded_places(variant)
    if unknown := activations.keys() - {name for name, _ in places}:
        raise KeyError(min(unknown))
    for name, place in places:
        scale, zero_point = activations[name]
        place.scale.fill_(scale)
        place.zero_point.fill_(zero_point)
    _round_biases(variant, grids)
    return variant.eval()


def unrounded_variant(
    network: nn.Module, activations: Mapping[str, tuple[float, int]]
) -> nn.Module:
    """`network` traced as `int8_variant` traces it, with nothing rounded: for comparisons."""
    if fx_quantization.made_by(activations):
        return fx_quantization.unrounded_variant(network, activations)
    variant = int8_variant(network, activations, {})
    for _, place in rounded_places(variant):
        place.exact = True
    return variant


def rounded_places(network: nn.Module) -> list[tuple[str, Any]]:
    """Places with their names; a module that serves several comes once, under its first name.

    Each has a `scale` and a `zero_point`. None in a network that was not traced.
    """
    ours = [(m.place, m) for m in network.children() if isinstance(m, Rounding)]
    return ours or fx_quantization.rounded_places(network)


def with_own_roundings(network: nn.Module) -> nn.Module:
    """The same variant with a `Rounding` at every place, which can be captured as a program.

    torch's own modules choose by a tensor whether they round, and no program has such a choice. A
    network that has none of these is returned as it is.
    """
    theirs = {id(place): (name, place) for name, place in fx_quantization.rounded_places(network)}
    if not theirs:
        return network
    roundings = {}
    for key, (name, place) in theirs.items():
        roundings[key] = rounding = Rounding(name)
        rounding.scale.copy_(place.scale)
        rounding.zero_point.copy_(place.zero_point)
        rounding.exact = not bool(place.fake_quant_enabled)
    return copy.deepcopy(network, dict(roundings)).eval()


def _round_biases(variant: GraphModule, grids: Mapping[str, Grid]) -> None:
    """Round biases to multiples of input scale x weight scale, as integer kernels store them.

    Rounded once, here, so that a kernel's sums equal the variant's; if each kernel rounded them,
    one code in some hundred would differ in every layer.
    """
    for place in filter(is_place, variant.graph.nodes):
        kernel = kernel_of(place)
        grid = grids.get(f"{kernel.node.target}.weight") if kernel else None
        if kernel is None or grid is None or kernel.kind != "layer":
            continue
        bias: Any = variant.get_submodule(str(kernel.node.target)).bias
        if bias is None:
            continue
        before: Any = variant.get_submodule(str(kernel.operands[0].target))
        step = (before.scale.double() * torch.from_numpy(grid.scale).double()).float()
        with torch.no_grad():
            bias.copy_((bias.double() / step).round().float() * step)  # like a dequantisation
