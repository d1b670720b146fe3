"""A weighted layer: the common tongue in which every format says what it stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """One weighted layer.

    Attributes:
        kind: ``conv``, ``linear``, ``batch_norm``, ``scale`` (a batch norm as what it multiplies
            by and adds), ``normalise`` or ``activation``.
        name: for people: of the module, node or constant.
        tensors: float32 or float16. conv and linear: ``weight`` (O, I, h, w) or (O, I), and
            ``bias`` (O,) if there is one; scale: ``weight``, ``bias``, (C,) each; batch norm:
            ``weight``, ``bias``, ``mean``, ``variance``, (C,) each, and ``epsilon`` ().
    """

    kind: str
    name: str
    tensors: Mapping[str, Array]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight."""
        return self.tensors["weight"].shape


@dataclass(frozen=True)
class LayerTrace:
    """What went into a weighted layer and what came out, for one image.

    Attributes:
        kind: as in `Layer`.
        name: for people.
        input, output: float32, (1, C, H, W) or (1, C); output before any activation.
    """

    kind: str
    name: str
    input: Array
    output: Array
