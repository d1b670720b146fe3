"""What the lite interpreter runs when it loads packed weights: unpack, scale, prepack for XNNPACK.

The mirror of `bit_packing.unpack_layers`, in TorchScript. It runs on the phone, once per loaded
file, and uses only operators of the last released runtime.
"""

# No `from __future__ import annotations`: TorchScript reads these annotations, in its own dialect.
# ruff: noqa: UP006, UP035, UP045

from typing import List, Optional, Tuple

import torch
from torch import Tensor, nn

Convolution = torch.classes.xnnpack.Conv2dOpContext
Linear = torch.classes.xnnpack.LinearOpContext


class PackedLayers(nn.Module):
    """Layers saved as packed arrays and loaded as XNNPACK's.

    Attributes:
        words, scales, halves: int64, bfloat16 and float16, see `bit_packing.Packed`.
        mean, std: float32 (1, 3, 1, 1), of the normalisation that the first layer may include.
        table: of `bit_packing.PackedLayer`.
        convolutions, linears: by a layer's number among those of its kind.
    """

    # A file stores this class name: published bytes do not depend on the place of the class.
    __module__ = "export.formats.lite_packed_layers"

    convolutions: List[Convolution]  # type: ignore[valid-type]
    linears: List[Linear]  # type: ignore[valid-type]

    def __init__(
        self,
        words: Tensor,
        scales: Tensor,
        halves: Tensor,
        mean: Tensor,
        std: Tensor,
        table: List[List[int]],
    ) -> None:
        super().__init__()
        self.words = words
        self.scales = scales
        self.halves = halves
        self.mean = mean
        self.std = std
        self.table = table
        self.convolutions = []
        self.linears = []

    @torch.jit.export
    def __getstate__(self) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, List[List[int]]]:
        return self.words, self.scales, self.halves, self.mean, self.std, self.table

    @torch.jit.export
    def __setstate__(
        self, state: Tuple[Tensor, Tensor, Tensor, Tensor, Tensor, List[List[int]]]
    ) -> None:
        words, scales, halves, mean, std, table = state
        convolutions: List[Convolution] = []  # type: ignore[valid-type]
        linears: List[Linear] = []  # type: ignore[valid-type]
        for row in table:
            levels, outputs, inputs, height, width = row[0], row[1], row[2], row[3], row[4]
            count = outputs * inputs * max(1, height * width)
            if levels > 0:
                base = 2 * levels + 1
                digits, power = 1, base
                while power <= 9223372036854775807 // base:  # another digit fits below 2**63
                    digits, power = digits + 1, power * base
                size = (count + digits - 1) // digits
                word, words = words[:size], words[size:]
                found: List[Tensor] = []
                for _ in range(digits):
                    found.append(torch.remainder(word, base))
                    word = torch.floor_divide(word, base)
                codes = torch.stack(found, 1).flatten()[:count] - levels
                scale, scales = scales[:outputs].to(torch.float32), scales[outputs:]
                weight = codes.reshape(outputs, -1) * scale.unsqueeze(1)
            else:
                weight, halves = halves[:count].to(torch.float32), halves[count:]
            bias, halves = halves[:outputs].to(torch.float32), halves[outputs:]
            low: Optional[float] = None
            high: Optional[float] = None
            if row[12] >= 0:
                low = 0.0
            if row[12] > 0:
                high = float(row[12])
            if height > 0:
                weight = weight.reshape(outputs, inputs, height, width)
                if row[13] > 0:  # w * (x - mean) / std + b, as one product
                    weight = weight / std
                    bias = bias - (weight * mean).sum([1, 2, 3])
                convolutions.append(
                    torch.ops.prepacked.conv2d_clamp_prepack(
                        weight, bias, row[5:7], row[7:9], row[9:11], row[11], low, high
                    )
                )
            else:
                weight = weight.reshape(outputs, inputs)
                linears.append(torch.ops.prepacked.linear_clamp_prepack(weight, bias, low, high))
        self.convolutions = convolutions
        self.linears = linears
        # The arrays are now empty: only the unpacked weights are kept.
        self.words, self.scales, self.halves, self.table = words, scales, halves, table
        self.mean, self.std = mean, std
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        """Never called; TorchScript requires one."""
        return x
