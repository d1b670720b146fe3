"""How far does rounding alone move PyTorch's own outputs? So far a right file may be off.

In: a reference, and the arithmetic that a file is computed in. Out: for some of its images, how far
PyTorch's outputs move when the result of every operation is rounded at random, as another kernel
might round it. A runtime sums in another order, and rounds activations to fp16 or to codes of 8
bits; in most networks the outputs hardly notice. A deep network that has learnt little, or a
picture unlike all that it has seen, can enlarge the last bit a thousandfold: no converter comes
closer then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from export.deploy.graph import reference_answers
from export.deploy.outputs import evidence_diff

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.formats.facts import Arithmetic
    from export.parity.reference import Reference

FEW, MANY = 4, 16  # draws: the largest of a few is not the largest of all
LAST_BIT: Final = 2.0**-22  # of fp32, and half of it for the order of a sum
# Of a step between two codes: how far kernels' sums are apart before they are rounded to 8 bits, by
# the images on which files of two networks are furthest off: 1e-5 to 1e-4.
BETWEEN_CODES: Final = 1e-4
# Shifts and odd factors by which every bit of 32 reaches every other (Wellons 2018, "lowbias32").
MIXING: Final = ((16, 0x7FEB352D), (15, 0x846CA68B))
# Whose result is one of the inputs, moved or chosen: nothing is rounded.
SELECTING: Final = (
    "_to_copy",
    "amax",
    "cat",
    "clone",
    "max_pool2d",
    "max_pool2d_with_indices",
    "relu",
)
SUMS: Final = ("add_",)  # of two branches; other operations in place keep a module's own state
# Computed in fp32 by every format here, even where all else is in fp16.
IN_FULL: Final = ("sub", "mul", "div", "mean", "softmax", "_softmax")


@dataclass(frozen=True, eq=False)
class RoundingNoise:
    """How far PyTorch's outputs move by rounding: float64 (n,) each, one for each image.

    Attributes:
        probs: the largest difference of any probability.
        evidence: of evidence, as `export.deploy.outputs.evidence_diff` defines it; 0 without any.
    """

    probs: NDArray[np.float64]
    evidence: NDArray[np.float64]


def rounding_noise(
    reference: Reference,
    arithmetic: Arithmetic,
    rows: Sequence[int],
    alike: bool = False,
    draws: int = FEW,
) -> RoundingNoise:
    """The largest of so many draws, the same ones every time.

    From equal inputs a kernel computes the same sum at every place. Where a picture has one colour,
    or a row of it has, a code that stands between two goes the same way everywhere; with noise of
    their own, places would cancel out.

    Args:
        reference: a network and its outputs.
        arithmetic: of the file that is compared with it.
        rows: n of the reference's images.
        alike: whether equal numbers of a channel are rounded alike, or each place by itself.
        draws: how many; those of fewer are among them.
    """
    chosen = sorted(rows)
    found = []
    for draw in range(draws):
        what = (arithmetic, alike, tuple(chosen), draw)
        if what not in reference.noise:
            reference.noise[what] = _drawn(reference, arithmetic, chosen, alike, draw)
        found.append(reference.noise[what])
    probs, evidence = (np.max(each, axis=0) for each in zip(*found, strict=True))
    back = np.searchsorted(chosen, rows)
    return RoundingNoise(probs[back], evidence[back])


def _drawn(
    reference: Reference, arithmetic: Arithmetic, chosen: list[int], alike: bool, draw: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    expected = reference.answers
    with _Rounding(arithmetic, draw, alike):
        found = reference_answers(reference.graph, reference.images.pixels[chosen])
    probs = np.abs(found.probs - expected.probs[chosen]).max(axis=1)
    evidence = np.zeros(len(chosen))
    if found.evidence is not None and expected.evidence is not None:
        evidence = evidence_diff(found.evidence, expected.evidence[chosen])
    return np.nan_to_num(probs, nan=np.inf), evidence


class _Rounding(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Rounds what every operation of torch computes, at random; the first draw to the nearest."""

    def __init__(self, arithmetic: Arithmetic, draw: int, alike: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.arithmetic, self.draw, self.alike = arithmetic, draw, alike
        self.generator = torch.Generator().manual_seed(draw)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if "fake_quantize" in name:
            if "per_tensor" in name:
                values, scale, *rest = args
                args = (values + scale * BETWEEN_CODES * self._random(values), scale, *rest)
            return func(*args, **(kwargs or {}))
        selects = func.is_view or name in SELECTING
        if selects or (self.arithmetic == "fp16" and name in IN_FULL):
            return func(*args, **(kwargs or {}))
        if name.endswith("_"):  # in place: torch returns its first argument, whatever is given here
            func(*args, **(kwargs or {}))
            return args[0].copy_(self._rounded(args[0])) if name in SUMS else args[0]
        if self.arithmetic == "fp16":
            args = tree_map_only(Tensor, _to_nearest_half, args)
        found = func(*args, **(kwargs or {}))
        return tree_map_only(Tensor, self._rounded, found)

    def _rounded(self, values: Tensor) -> Tensor:
        if values.dtype != torch.float32:
            return values
        if self.arithmetic != "fp16":
            # A sum's error is of the size of its summands, however small the sum.
            size = values.abs() + values.square().mean().sqrt()
            return values + LAST_BIT * size * self._random(values)
        if self.draw:
            steps = np.spacing(np.abs(values.numpy()).astype(np.float16)).astype(np.float32)
            values = values + torch.from_numpy(steps) / 2 * self._random(values)
        return _to_nearest_half(values)

    def _random(self, values: Tensor) -> Tensor:
        """Between -1 and 1."""
        if not self.alike:
            return torch.rand(values.shape, generator=self.generator) * 2 - 1
        channels = values.shape[1] if values.dim() > 1 else 1
        salt = torch.randint(2**32, (channels,), generator=self.generator).numpy()
        mixed = values.contiguous().numpy().view(np.uint32)
        mixed = mixed ^ salt.astype(np.uint32).reshape(-1, *[1] * (values.dim() - 2))
        for shift, factor in MIXING:
            mixed ^= mixed >> np.uint32(shift)
            mixed *= np.uint32(factor)
        mixed ^= mixed >> np.uint32(16)
        return torch.from_numpy(mixed.astype(np.float32)) * 2.0**-31 - 1


def _to_nearest_half(values: Tensor) -> Tensor:
    return values.half().float() if values.dtype == torch.float32 else values
