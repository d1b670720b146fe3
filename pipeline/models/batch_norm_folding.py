"""Batch norms folded into the layer before them: the same network with fewer operations.

In: a network in evaluation mode. Out: the same modules under the same names; a batch norm after a
convolution or linear layer is part of it: w' = w s, b' = (b - mean) s + beta, with
s = gamma / sqrt(var + eps), and nothing (or the activation that timm puts inside) stands in its
place. One whose layer has another reader, or whose weight another layer has too, cannot be folded
and stays; so does one before a ReLU and a convolution (DenseNet's, He et al., arXiv:1603.05027).

Every product is computed in float64 and rounded once, by operations that IEEE 754 rounds correctly;
so two machines fold to the same bits, and a file's weights can be compared with these exactly. The
converters themselves each fold in a different order, and torch 2.12's `optimize_for_mobile` loses
the bias if the convolution had none.

Who reads whose output is told by the graph that torch records for gradients, in one run without
numbers: so a network that decides by the size of its input is folded too.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from torch.autograd.graph import Node

SIDES: Final = (64, 224, 256, 384, 448)  # most networks take any
NORMS: Final = (nn.BatchNorm2d, nn.BatchNorm1d)
LAYERS: Final = (nn.Conv2d, nn.Linear)


def folded_network(network: nn.Module) -> nn.Module:
    """A copy of the network with each batch norm folded that can be.

    A network without batch norms, or with those of a compressed one alone, is returned as it is.
    Weights on the meta device stay there: then the result is the form of a folded network, into
    which its state can be loaded.

    Raises:
        BadInput: the network runs at no usual size of image.
    """
    if all(norm.eps == 0 for _, norm in _norms(network)):  # `halved_norm`'s
        return network
    made = copy.deepcopy(network).eval()
    layer_of = foldable(made)
    for name, norm in _norms(made):
        if name in layer_of:
            _fold(made.get_submodule(layer_of[name]), norm)
            made.set_submodule(name, _after(norm))
        elif not _is_plain(norm):
            made.set_submodule(name, nn.Sequential(_alone(norm), _after(norm)))
    return made


def compressible_network(network: nn.Module) -> nn.Module:
    """What a compressed checkpoint holds: the folded network, of norms that stay scale and shift.

    Those are rounded to fp16, which every format can store. A network without batch norms is
    returned as it is.
    """
    made = folded_network(network)
    for name, norm in _norms(made):
        if made is not network:
            made.set_submodule(name, halved_norm(norm))
    return made


def halved_norm(norm: nn.Module) -> nn.BatchNorm2d:
    """A batch norm that multiplies by its scale, rounded to fp16, and adds its shift likewise."""
    scale, shift = norm_scale_and_shift(norm)
    made = nn.BatchNorm2d(len(scale), eps=0.0, device=scale.device).eval()  # mean 0, variance 1
    made.weight = nn.Parameter(halved(scale), requires_grad=False)
    made.bias = nn.Parameter(halved(shift), requires_grad=False)
    return made


def halved(values: Tensor) -> Tensor:
    """The nearest numbers of fp16, float32."""
    return values.to(torch.float16).to(torch.float32)


def has_norms(network: nn.Module) -> bool:
    """Whether it contains a batch norm."""
    return any(isinstance(module, NORMS) for module in network.modules())


def foldable(network: nn.Module) -> dict[str, str]:
    """Name of each batch norm that can be folded -> name of the layer before it."""
    with torch.inference_mode(False):
        shadow = copy.deepcopy(network).to("meta").eval().requires_grad_(True)
    made: dict[Node, str] = {}
    taken: list[tuple[str, Node]] = []
    calls: Counter[str] = Counter()

    def note_layer(name: str, output: Tensor) -> None:
        calls[name] += 1
        if output.grad_fn is not None:
            made[output.grad_fn] = name

    def note_norm(name: str, pixels: Tensor) -> None:
        calls[name] += 1
        if pixels.grad_fn is not None:
            taken.append((name, pixels.grad_fn))

    for name, module in shadow.named_modules():
        if isinstance(module, LAYERS):
            module.register_forward_hook(lambda _m, _i, out, name=name: note_layer(name, out))
        elif isinstance(module, NORMS):
            module.register_forward_pre_hook(lambda _m, args, name=name: note_norm(name, args[0]))
    readers = _readers(_run(shadow, calls))
    shared = Counter(id(p) for m in shadow.modules() for p in m._parameters.values())
    found = {}
    for name, source in taken:
        layer = shadow.get_submodule(made[source]) if source in made else None
        if layer is None or readers[source] > 1 or calls[name] > 1 or calls[made[source]] > 1:
            continue
        norm = shadow.get_submodule(name)
        if _fits(layer, norm, source) and all(shared[id(p)] == 1 for p in layer.parameters()):
            found[name] = made[source]
    return found


def _run(shadow: nn.Module, calls: Counter[str]) -> list[Tensor]:
    """The outputs of one run without numbers."""
    reason: Exception | None = None
    for side in SIDES:
        calls.clear()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                outputs = shadow(torch.empty(1, 3, side, side, device="meta"))
            return list(outputs) if isinstance(outputs, tuple | list) else [outputs]
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
            reason = error
    raise BadInput(f"the network takes no image of {SIDES[-1]} pixels or fewer: {reason}")


def _readers(outputs: list[Tensor]) -> Counter[Node]:
    """How often the result of each operation is read; an output of the network is read too."""
    waiting = [output.grad_fn for output in outputs if output.grad_fn is not None]
    counts: Counter[Node] = Counter(waiting)
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        for before, _ in node.next_functions:
            if before is not None:
                counts[before] += 1
                waiting.append(before)
    return counts


def _fits(layer: nn.Module, norm: nn.Module, source: Any) -> bool:
    """Whether a norm's numbers can be part of a layer: it multiplies by its weight as it is."""
    assert isinstance(norm, NORMS)
    known = _is_plain(norm) or (hasattr(norm, "act") and hasattr(norm, "drop"))
    if not known or norm.running_mean is None:
        return False
    if isinstance(layer, nn.Linear):
        return type(layer).forward is nn.Linear.forward and isinstance(norm, nn.BatchNorm1d)
    weight = source.next_functions[1][0]  # of input, weight and bias
    return getattr(weight, "variable", None) is layer.weight and isinstance(norm, nn.BatchNorm2d)


def _norms(network: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d | nn.BatchNorm1d]]:
    for name, module in list(network.named_modules()):
        if isinstance(module, NORMS):
            yield name, module


def _is_plain(norm: nn.Module) -> bool:
    return type(norm).forward is nn.BatchNorm2d.forward


def _after(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> nn.Module:
    """What a batch norm does after its own arithmetic: nothing, or timm's activation."""
    return nn.Identity() if _is_plain(norm) else norm.get_submodule("act")


def _alone(norm: Any) -> nn.Module:
    """The arithmetic of a batch norm alone, with its own tensors."""
    plain: Any = nn.BatchNorm2d(norm.num_features, norm.eps, device="meta").eval()
    plain.weight, plain.bias = norm.weight, norm.bias
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        plain.register_buffer(name, getattr(norm, name))
    made: nn.Module = plain
    return made


def _fold(layer: nn.Module, norm: Any) -> None:
    assert isinstance(layer, LAYERS)
    weight = layer.weight.detach().double()
    scale, shift = (values.to(weight.device) for values in _exact(norm))
    weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
    if layer.bias is not None:
        shift = shift + layer.bias.detach().double() * scale
    layer.weight = nn.Parameter(weight.float(), requires_grad=False)
    layer.bias = nn.Parameter(shift.float(), requires_grad=False)


def norm_scale_and_shift(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A batch norm as a factor and a summand, float32 (C,) each."""
    scale, shift = _exact(norm)
    return scale.float(), shift.float()


def _exact(norm: Any) -> tuple[Tensor, Tensor]:
    """Scale and shift in float64; ones and zeros without affine parameters."""
    home = norm.running_mean if norm.weight is None else norm.weight  # weights may be on meta alone
    mean, variance = (t.to(home.device).double() for t in (norm.running_mean, norm.running_var))
    epsilon = float(np.float32(norm.eps))  # as files store it
    scale = 1 / torch.sqrt(variance + epsilon)
    if norm.weight is not None:
        scale = norm.weight.detach().double() / torch.sqrt(variance + epsilon)
    shift = -mean * scale
    return scale, shift if norm.bias is None else norm.bias.detach().double() - mean * scale
