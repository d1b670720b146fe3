"""The weighted layers of a network in the order they are called.

Every format stores the same convolutions and matrix products in the same order, under its own names
or none. So layers are matched by position, and a weight can be followed from the checkpoint into
each file.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from export.deploy.batch_norm_folding import folded_network
from export.deploy.layers import Layer, LayerTrace
from export.errors import Unreadable
from pipeline.compress.activation_quantization import rounded_places
from pipeline.resize.notation import height_width
from pipeline.resize.rule import Size

if TYPE_CHECKING:
    from export.deploy.graph import PixelGraph

WEIGHTED: Final = {"conv": nn.Conv2d, "linear": nn.Linear, "batch_norm": nn.BatchNorm2d}
# Kind -> tensor of a `Layer` -> attribute of the module.
ATTRIBUTES: Final = {
    "conv": {"weight": "weight", "bias": "bias"},
    "linear": {"weight": "weight", "bias": "bias"},
    "batch_norm": {
        "weight": "weight",
        "bias": "bias",
        "mean": "running_mean",
        "variance": "running_var",
        "epsilon": "eps",
    },
}


def called_modules(network: nn.Module, side: Size) -> list[tuple[str, nn.Module]]:
    """Weighted modules of `network` with their names, in call order."""
    names = {module: name for name, module in network.named_modules()}
    called: list[tuple[str, nn.Module]] = []

    def note(module: nn.Module, _inputs: Any, _output: Any) -> None:
        called.append((names[module], module))

    with _watching(network, note), torch.inference_mode():
        network(torch.zeros(1, 3, *height_width(side)))
    return called


def trace_layers(network: nn.Module, pixels: Tensor) -> list[LayerTrace]:
    """Input and output of each weighted layer for normalised `pixels`, float32 (1, 3, H, W)."""
    names = {module: name for name, module in network.named_modules()}
    traces: list[LayerTrace] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        arrays = [tensor.detach().clone().numpy() for tensor in (inputs[0], output)]
        traces.append(LayerTrace(kind_of(module), names[module], *arrays))

    with _watching(network, note), torch.inference_mode():
        network(pixels)
    return traces


@contextmanager
def _watching(network: nn.Module, note: Callable[[nn.Module, Any, Any], None]) -> Iterator[None]:
    hooks = [
        module.register_forward_hook(note)
        for module in network.modules()
        if isinstance(module, tuple(WEIGHTED.values()))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def network_holding(network: nn.Module, layers: Sequence[Layer], side: Size) -> nn.Module:
    """A copy of `network`, batch norms folded, with the weights of `layers` instead of its own.

    Layers of one kind and shape are matched in order, as `export.parity.weights` does; a batch norm
    takes the scale and shift that a file stores.

    Raises:
        Unreadable: the layers are not those of the network.
    """
    copied = copy.deepcopy(folded_network(network)).eval()
    waiting: dict[tuple[str, tuple[int, ...]], list[Layer]] = defaultdict(list)
    for layer in layers:
        held = _as_norm(layer) if layer.kind == "scale" else layer
        waiting[held.kind, held.shape].append(held)
    for name, module in called_modules(copied, side):
        weight = module.weight
        assert isinstance(weight, Tensor)
        candidates = waiting[kind_of(module), tuple(weight.shape)]
        if not candidates:
            raise Unreadable(
                f"the file has no {kind_of(module)} of {tuple(weight.shape)} for {name}"
            )
        _give(module, candidates.pop(0).tensors)
    return copied


def _as_norm(layer: Layer) -> Layer:
    """A layer of kind ``scale`` as an equivalent one of kind ``batch_norm``."""
    zeros = np.zeros(layer.shape, np.float32)
    rest = {"mean": zeros, "variance": np.ones_like(zeros), "epsilon": np.zeros((), np.float32)}
    return Layer("batch_norm", layer.name, {**layer.tensors, **rest})


def _give(module: nn.Module, tensors: Mapping[str, Any]) -> None:
    for key, attribute in ATTRIBUTES[kind_of(module)].items():
        target = getattr(module, attribute)
        if isinstance(target, float):
            setattr(module, attribute, float(tensors[key]))
            continue
        with torch.no_grad():
            if key not in tensors:
                if target is not None:
                    target.zero_()
                continue
            made = torch.from_numpy(np.asarray(tensors[key], dtype=np.float32).copy())
            if target is None:
                module.register_parameter(attribute, nn.Parameter(made))
            else:
                target.copy_(made)


def normalisation_layer(graph: PixelGraph) -> Layer:
    """The graph's first step on pixels: minus ``weight``, times ``bias``, (3,) each."""
    mean, std = graph.mean.detach().numpy().reshape(-1), graph.std.detach().numpy().reshape(-1)
    return Layer("normalise", "normalisation", {"weight": mean, "bias": 1 / std})


def network_layers(graph: PixelGraph, side: Size) -> list[Layer]:
    """The layers of the checkpoint's network, batch norms folded."""
    return [
        _layer(name, module) for name, module in called_modules(folded_network(graph.network), side)
    ]


def activation_layer(network: nn.Module) -> list[Layer]:
    """The scales (``weight``) and zero points (``bias``) of rounded activations, sorted.

    One layer with all distinct pairs; none if the activations stay in floating point.
    """
    places = rounded_places(network)
    return layer_of_activations((float(p.scale), int(p.zero_point)) for _, p in places)


def layer_of_activations(pairs: Iterable[tuple[float, int]]) -> list[Layer]:
    """The pairs of scale and zero point as a layer; none without pairs."""
    found = sorted(set(pairs))
    if not found:
        return []
    scales, zero_points = (np.array(values, np.float32) for values in zip(*found, strict=True))
    return [Layer("activation", "activations", {"weight": scales, "bias": zero_points})]


def _layer(name: str, module: nn.Module) -> Layer:
    tensors = {key: getattr(module, a) for key, a in ATTRIBUTES[kind_of(module)].items()}
    arrays = {
        key: torch.as_tensor(tensor).detach().to(torch.float32).numpy()
        for key, tensor in tensors.items()
        if tensor is not None
    }
    return Layer(kind_of(module), name, arrays)


def kind_of(module: nn.Module) -> str:
    """The kind of a weighted module, a key of `WEIGHTED`."""
    return next(kind for kind, type_ in WEIGHTED.items() if isinstance(module, type_))
