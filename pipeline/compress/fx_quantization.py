"""The int8 variant of older checkpoints, by torch's FX quantisation.

Their places are those that torch chose, and have its names for them. The released checkpoint is one
of them; new ones have `pipeline.compress.activation_quantization`'s. torch will delete this API.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn
from torch.ao.quantization import PerChannelMinMaxObserver

if TYPE_CHECKING:
    from torch.ao.quantization import QConfig
    from torch.fx import GraphModule

    from pipeline.quantization_grid import Grid

PLACE: Final = "activation_post_process_"  # torch's name for a place where activations are observed
QUANT_MAX: Final = 255

Maker = Callable[..., nn.Module]  # of an observer, or of a substitute for one


def made_by(activations: Mapping[str, tuple[float, int]]) -> bool:
    """Whether these are places of torch's FX quantisation."""
    return any(name.startswith(PLACE) for name in activations)


def int8_variant(
    network: nn.Module, activations: Mapping[str, tuple[float, int]], grids: Mapping[str, Grid]
) -> nn.Module:
    """`network` with its activations rounded to 8 bits at the places of `activations`.

    Its arithmetic is float32 on rounded values: what an integer kernel computes, up to the kernel's
    own rounding. `torch.ao.quantization.quantize_fx.convert_fx` turns it into integer kernels, with
    the weights' scales from `grids`.

    Raises:
        KeyError: `activations` belongs to another network.
    """
    from torch.ao.quantization import FixedQParamsFakeQuantize, FixedQParamsObserver

    any_place = FixedQParamsFakeQuantize.with_args(  # type: ignore[no-untyped-call]
        observer=FixedQParamsObserver.with_args(
            scale=1.0, zero_point=0, dtype=torch.quint8, quant_min=0, quant_max=QUANT_MAX
        )
    )
    variant = _prepare(network, any_place, grids)
    places = rounded_places(variant)
    if unknown := activations.keys() - {name for name, _ in places}:
        raise KeyError(min(unknown))
    for name, place in places:
        scale, zero_point = activations[name]
        place.scale.fill_(scale)
        place.zero_point.fill_(zero_point)
        observer = place.activation_post_process
        observer.scale.fill_(scale)
        observer.zero_point.fill_(zero_point)
    _round_biases(variant, grids)
    return variant.eval()


def unrounded_variant(
    network: nn.Module, activations: Mapping[str, tuple[float, int]]
) -> nn.Module:
    """`network` traced as `int8_variant` traces it, with nothing rounded: for comparisons."""
    from torch.ao.quantization import disable_fake_quant

    return int8_variant(network, activations, {}).apply(disable_fake_quant)


def in_integers(variant: GraphModule) -> GraphModule:
    """The variant on the integer kernels of QNNPACK."""
    from torch.ao.quantization.backend_config import get_qnnpack_backend_config
    from torch.ao.quantization.quantize_fx import convert_fx

    return convert_fx(copy.deepcopy(variant), backend_config=get_qnnpack_backend_config())


def _round_biases(variant: GraphModule, grids: Mapping[str, Grid]) -> None:
    """Round biases to multiples of input scale x weight scale, as integer kernels store them.

    Rounded once, here, so that a kernel's sums equal the variant's; if each kernel rounded them,
    one code in some hundred would differ in every layer.
    """
    modules = dict(
        variant.named_modules(remove_duplicate=False)
    )  # a scale may serve several places
    for node in variant.graph.nodes:
        grid = grids.get(f"{node.target}.weight") if node.op == "call_module" else None
        source = str(node.args[0].target) if grid is not None else ""
        if grid is None or not source.startswith(PLACE):
            continue
        layer: Any = modules[node.target]
        bias = getattr(layer, "0", layer).bias  # of a convolution, or of one fused with its ReLU
        if bias is None:
            continue
        step = (modules[source].scale.double() * torch.from_numpy(grid.scale).double()).float()
        with torch.no_grad():
            bias.copy_((bias.double() / step).round().float() * step)  # like a dequantisation


def _prepare(network: nn.Module, activation: Maker, grids: Mapping[str, Grid]) -> GraphModule:
    """`network` traced, with a module made by `activation` at every place torch quantises."""
    from torch.ao.quantization import QConfigMapping, default_weight_observer
    from torch.ao.quantization.backend_config import get_qnnpack_backend_config
    from torch.ao.quantization.quantize_fx import prepare_fx

    mapping = QConfigMapping().set_global(_qconfig(activation, default_weight_observer))
    for name, grid in grids.items():
        weight = _GridObserver.with_args(grid_scale=torch.from_numpy(grid.scale))
        mapping.set_module_name(name.removesuffix(".weight"), _qconfig(activation, weight))
    # Steps in the logits would be steps in every probability; the last layer costs almost
    # nothing, so its output stays in floating point.
    mapping.set_module_name(_last_layer(network), None)
    for nothing_to_round in (torch.mean, nn.Dropout):
        mapping.set_object_type(nothing_to_round, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation notes of a pinned torch
        return prepare_fx(
            copy.deepcopy(network).eval(),
            mapping,
            (torch.zeros(1, 3, 64, 64),),
            backend_config=get_qnnpack_backend_config(),
        )


def _last_layer(network: nn.Module) -> str:
    kinds = (nn.Conv2d, nn.Linear)
    *_, last = (name for name, module in network.named_modules() if isinstance(module, kinds))
    return str(last)


def rounded_places(network: nn.Module) -> list[tuple[str, Any]]:
    """Places with their names; a module that serves several comes once, under its first name.

    None in a network that was not traced.
    """
    return [(n, m) for n, m in network.named_children() if n.startswith(PLACE)]


def _qconfig(activation: Maker, weight: Maker) -> QConfig:
    from torch.ao.quantization import QConfig

    return QConfig(activation, weight)  # type: ignore[no-untyped-call]


class _GridObserver(PerChannelMinMaxObserver):
    """Returns the grid's own scales instead of ones derived from the weight's range."""

    def __init__(self, grid_scale: Tensor, **settings: object) -> None:
        super().__init__(
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            quant_min=-127,
            quant_max=127,
            **settings,
        )
        self.grid_scale = grid_scale

    def calculate_qparams(self, **_: object) -> tuple[Tensor, Tensor]:
        return self.grid_scale, torch.zeros(len(self.grid_scale), dtype=torch.int64)
