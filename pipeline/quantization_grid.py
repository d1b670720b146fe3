"""A weight on a grid: small integers times a scale for each output channel.

A compressed checkpoint stores its weights this way, and every format encodes the same integers and
the same scales. A scale has at most 8 significant bits: times an integer of up to 4 bits it is
exact in fp16 (11 bits), times one of 8 bits exact in fp32. So a file holds exactly the weights of
its variant in PyTorch, and can be compared with it as closely as an fp32 file with the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE_BITS: Final = 8
LEAST_SCALE: Final = 2.0**-16  # below it fp16 has fewer significant bits than that


@dataclass(frozen=True)
class Grid:
    """The weight of one layer.

    Attributes:
        codes: int8 (O, I, h, w) or (O, I), in -levels..levels.
        scale: float32 (O,), `SCALE_BITS` significant bits, at least `LEAST_SCALE`.
        levels: largest integer; 7 is 4 bits, 3 is 3 bits, 127 is 8 bits.
    """

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    levels: int

    @property
    def bits(self) -> int:
        """Of a code: the sign and what `levels` takes."""
        return self.levels.bit_length() + 1

    def weights(self) -> NDArray[np.float32]:
        """The weight itself, float32, exactly codes x scale."""
        return self.codes.astype(np.float32) * self.scale_like(self.codes)

    def scale_like(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """The scale, shaped so that it multiplies `array` along its first axis."""
        return self.scale.reshape(-1, *[1] * (array.ndim - 1))


def check_grid(grid: Grid, name: str) -> None:
    """Check a grid that was read from a file.

    Raises:
        BadInput: a code beyond the levels, or a scale that is not a short positive number.
    """
    if grid.codes.ndim not in (2, 4) or grid.scale.shape != grid.codes.shape[:1]:
        raise BadInput(f"{name}: codes {grid.codes.shape} and scale {grid.scale.shape} do not fit")
    if np.abs(grid.codes.astype(np.int16)).max(initial=0) > grid.levels:
        raise BadInput(f"{name}: a code is beyond the {grid.levels} levels of its grid")
    if not (np.isfinite(grid.scale).all() and (grid.scale >= LEAST_SCALE).all()):
        raise BadInput(f"{name}: a scale is not a number of at least {LEAST_SCALE:.1e}")
    if not np.array_equal(grid.scale, short_scale(grid.scale)):
        raise BadInput(f"{name}: a scale has more than {SCALE_BITS} significant bits")


def short_scale(scale: NDArray[np.floating]) -> NDArray[np.float32]:
    """The nearest numbers that a grid's scale may be, float32."""
    mantissa, exponent = np.frexp(np.maximum(scale.astype(np.float64), LEAST_SCALE))
    steps = 2.0**SCALE_BITS
    return np.ldexp(np.round(mantissa * steps) / steps, exponent).astype(np.float32)
