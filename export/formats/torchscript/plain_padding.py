"""Convolutions that pad by the size of their input, as plain ones for one size.

In: the deploy graph. Out: one in which timm's `Conv2dSame` (TensorFlow's "SAME") is a padding with
zeros and a plain convolution with the same weight. XNNPACK's packed layers are plain convolutions.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from export.deploy.batch_norm_folding import with_network
from export.deploy.graph import example_input
from export.errors import ConversionFailed

if TYPE_CHECKING:
    from export.deploy.graph import DeployGraph
    from pipeline.model_spec import ModelSpec


def with_plain_padding(graph: DeployGraph, spec: ModelSpec) -> DeployGraph:
    """The graph with every convolution plain; the graph itself if they all are.

    Raises:
        ConversionFailed: one does something else than padding with zeros.
    """
    inputs = _inputs_of_others(graph, spec)
    if not inputs:
        return graph
    network = copy.deepcopy(graph.pixels.network)
    made = with_network(graph, network)
    for name, pixels in inputs.items():
        layer: Any = network.get_submodule(name)
        plain = nn.Sequential(nn.ZeroPad2d(_zeros_around(layer, pixels)), _plain(layer))
        with torch.inference_mode():
            if not torch.equal(plain(pixels), layer(pixels)):
                raise ConversionFailed(
                    f"{name} is a {type(layer).__name__}, which is more than a convolution with "
                    "zeros around its input; lite files have no layer for it"
                )
        network.set_submodule(name, plain)
        if f"{name}.weight" in made.grids:
            made.grids[f"{name}.1.weight"] = made.grids.pop(f"{name}.weight")
    return made


def _inputs_of_others(graph: DeployGraph, spec: ModelSpec) -> dict[str, Tensor]:
    """Name of each convolution with a `forward` of its own -> its input."""
    inputs: dict[str, Tensor] = {}
    hooks = []
    for name, module in graph.pixels.network.named_modules():
        if isinstance(module, nn.Conv2d) and type(module).forward is not nn.Conv2d.forward:

            def note(_: Any, given: tuple[Tensor], name: str = name) -> None:
                inputs[name] = given[0].clone()

            hooks.append(module.register_forward_pre_hook(note))
    if hooks:
        with torch.inference_mode():
            graph(example_input(spec))
    for hook in hooks:
        hook.remove()
    return inputs


def _zeros_around(layer: nn.Conv2d, pixels: Tensor) -> tuple[int, int, int, int]:
    """Left, right, top and bottom, such that an output stands for every stride of the input."""
    around: list[int] = []
    for size, kernel, stride, dilation in zip(
        pixels.shape[2:], layer.kernel_size, layer.stride, layer.dilation, strict=True
    ):
        steps = -(-size // stride) - 1
        spare = max(steps * stride + (kernel - 1) * dilation + 1 - size, 0)
        around = [spare // 2, spare - spare // 2, *around]
    left, right, top, bottom = around
    return left, right, top, bottom


def _plain(layer: Any) -> nn.Conv2d:
    shape = layer.kernel_size, layer.stride, 0, layer.dilation, layer.groups
    made = nn.Conv2d(layer.in_channels, layer.out_channels, *shape, device="meta")
    made.weight, made.bias = layer.weight, layer.bias
    return made.eval()
