"""A weighted layer: the common form in which every format reports what it stores."""

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
        kind: ``conv``, ``linear``, ``batch_norm``, ``scale`` (a batch norm as its scale and
            shift), ``normalise`` or ``activation``.
        name: of the module, node or constant, for messages.
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
    """Input and output of a weighted layer for one image.

    Attributes:
        kind: as in `Layer`.
        name: for messages.
        input, output: float32, (1, C, H, W) or (1, C); output before any activation.
    """

    kind: str
    name: str
    input: Array
    output: Array
