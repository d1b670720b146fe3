"""Are the weights in a file those of the checkpoint? Outputs alone cannot prove it.

A zeroed channel, a layer times 1.01 or two swapped biases can move every probability by less than
the tolerance of fp16. So each stored value is compared with the checkpoint's: it must be equal in
fp32, and its rounding in fp16.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from export.deploy.batch_norm_folding import as_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.deploy.layers import Layer

    Array = NDArray[np.floating]

NAMED: Final = 5  # missing layers listed by name
UNSEEN: Final = ("normalise", "activation")  # kinds that a format may hide


def weight_violations(stored: Sequence[Layer], expected: Sequence[Layer]) -> list[str]:
    """A sentence for each stored tensor that differs from the checkpoint's; empty if none does.

    Layers of one kind and shape are matched in order. Between shapes the order is free, since a
    runtime may call the branches of a block in either order.

    If a file hides its normalisation in other arithmetic, or the scales of its activations, only
    the outputs check them. If it stores batch norms as scales and shifts, these are compared.

    Args:
        stored: as read from the file, float16 or float32.
        expected: of the checkpoint, float32.
    """
    waiting = defaultdict(list)
    kinds = {layer.kind for layer in stored}
    for layer in expected:
        if layer.kind in UNSEEN and layer.kind not in kinds:
            continue
        wanted = as_scale(layer) if layer.kind == "batch_norm" and "scale" in kinds else layer
        waiting[wanted.kind, wanted.shape].append(wanted)
    violations = []
    for layer in stored:
        candidates = waiting[layer.kind, layer.shape]
        if not candidates:
            violations.append(
                f"{layer.name}: the checkpoint has no such {layer.kind} {layer.shape}"
            )
            continue
        violations += _compare_layer(layer, candidates.pop(0))
    missing = [layer.name for layers in waiting.values() for layer in layers]
    if missing:
        more = f" (and {len(missing) - NAMED} more)" if len(missing) > NAMED else ""
        violations.append(f"layers not in the file: {', '.join(missing[:NAMED])}{more}")
    return violations


def _compare_layer(layer: Layer, wanted: Layer) -> list[str]:
    """Tensor by tensor; a bias that one side lacks counts as zeros."""
    violations = []
    for key in sorted(layer.tensors.keys() | wanted.tensors.keys()):
        zeros = np.zeros(layer.shape[0], layer.tensors["weight"].dtype)
        found, right = layer.tensors.get(key, zeros), wanted.tensors.get(key, zeros)
        violations += _compare(layer.kind, f"{wanted.name}.{key}", found, right)
    return violations


def _as_stored(wanted: Array, found: Array) -> Array:
    """The values that the file may hold: `wanted`, rounded to its type.

    What fp16 rounds to zero may also be its smallest number, with the right sign: so coremltools
    keeps a divisor from vanishing.
    """
    rounded = wanted.astype(found.dtype)
    smallest = np.copysign(np.finfo(found.dtype).smallest_subnormal, wanted)
    vanished = (rounded == 0) & (wanted != 0)
    return np.where(vanished & (found == smallest), found, rounded)


def _compare(kind: str, name: str, found: Array, wanted: Array) -> list[str]:
    if found.shape != wanted.shape:
        return [f"{name} has shape {found.shape}, not {wanted.shape}"]
    rounded = _as_stored(wanted, found)
    allowed = np.zeros(wanted.shape)
    if kind == "normalise":  # a reciprocal may be rounded twice
        allowed = np.spacing(np.abs(rounded)).astype(np.float64)
    off = np.abs(found.astype(np.float64) - rounded.astype(np.float64))
    wrong = ~(off <= allowed)  # NaN is wrong too
    if not wrong.any():
        return []
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    return [
        f"{name}: {int(wrong.sum())} of {wrong.size} values are not the checkpoint's, first at "
        f"{list(place)}: {found[place]:.6g} for {wanted[place]:.6g}"
    ]
