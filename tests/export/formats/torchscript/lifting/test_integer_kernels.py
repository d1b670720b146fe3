"""Integer kernels are operations on what codes stand for, rounded to codes again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.errors import CannotRunHere
from export.formats.torchscript.format import lifted
from pipeline.program.operations import ROUND, operation_of
from tests.export.formats.torchscript.lifting.lite_functions import OfPixels, lite_file, pixels

SCALE, ZERO = 2.0, 3  # of the pixels' codes
quantized = torch.ops.quantized


def codes(x: Tensor, scale: float = SCALE) -> Tensor:
    return torch.quantize_per_tensor(x, scale, ZERO, torch.quint8)


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "sum": (lambda q: quantized.add(q, q, 5.0, 7), "add.Tensor ROUND"),
    "sum and relu": (lambda q: quantized.add_relu(q, q, 5.0, 7), "add.Tensor relu ROUND"),
    "product": (lambda q: quantized.mul(q, q, 300.0, 0), "mul.Tensor ROUND"),
    "hard-swish": (lambda q: quantized.hardswish(q, 2.0, 1), "hardswish ROUND"),
    "pool": (lambda q: torch.max_pool2d(q, 3, 2), "max_pool2d"),
    "parts": (lambda q: torch.cat([q[:, :2], q], 1), "slice.Tensor cat"),
    "relu": (lambda q: q.relu(), "relu"),
    "padding": (lambda q: F.pad(q, (0, 1, 0, 1)), "constant_pad_nd"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_kernel_is_its_operation_and_a_rounding(name: str, tmp_path: Path) -> None:
    function, wanted = FUNCTIONS[name]

    def whole(x: Tensor) -> Tensor:
        return function(codes(x)).dequantize()

    program = lifted(lite_file(OfPixels(whole), tmp_path / "one.ptl"))
    names = [str(operation_of(node)).replace(ROUND, "ROUND") for node in program.operations()]
    assert names == ["ROUND", *wanted.split()]
    found, right = program.network(pixels()), whole(pixels())
    step = float(right.unique().diff().min())
    assert (found - right).abs().max() <= step * 1.001  # a sum between two codes goes either way
    assert (found - right).abs().mean() < step / 20


class Layers(nn.Module):
    """A convolution and a linear layer on codes."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.kernel = self.weight(torch.randn(4, 3, 3, 3, generator=draws))
        self.matrix = self.weight(torch.randn(5, 12, generator=draws))
        self.first = quantized.conv2d_prepack(
            self.kernel, torch.arange(4.0), [2, 1], [1, 0], [1, 2], 1
        )
        self.second = quantized.linear_prepack(self.matrix, None)
        del self.kernel, self.matrix

    @staticmethod
    def weight(values: Tensor) -> Tensor:
        scales = torch.full((len(values),), 0.02, dtype=torch.float64)
        return torch.quantize_per_channel(
            values, scales, torch.zeros_like(scales).long(), 0, torch.qint8
        )

    def forward(self, x: Tensor) -> Tensor:
        x = quantized.conv2d_relu(codes(x.permute(0, 3, 1, 2).float()), self.first, 9.0, 0)
        x = x[:, :3, :, :4].flatten(1)[:, :12]
        return quantized.linear(x, self.second, 12.0, 128).dequantize()  # type: ignore[no-any-return]


def test_packed_layers_have_their_settings_weights_and_biases(tmp_path: Path) -> None:
    module = Layers()
    program = lifted(lite_file(module, tmp_path / "layers.ptl"))
    layers = {str(operation_of(node)): node for node in program.operations()}
    assert layers["conv2d"].args[3:] == ([2, 1], [1, 0], [1, 2], 1)
    assert layers["linear"].args[2] is None
    weight, bias = quantized.conv2d_unpack(module.first)
    tensors = program.tensors()
    held = [tensors[str(node.target)] for node in layers["conv2d"].all_input_nodes[1:]]
    assert torch.equal(held[0], weight.dequantize())
    assert torch.equal(held[1], bias)
    image = pixels().byte().permute(0, 2, 3, 1)
    assert (program.network(pixels()) - module(image)).abs().max() <= 12.001


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: codes(x).sigmoid().dequantize(), "aten::sigmoid on 1 kinds of codes"),
        (
            lambda x: F.pad(codes(x), (0, 1), value=1.0).dequantize(),
            "aten::pad on 1 kinds of codes",
        ),
        (
            lambda x: torch.cat([codes(x), codes(x, 4.0)]).dequantize(),
            "aten::cat on 2 kinds of codes",
        ),
        (
            lambda x: torch.quantize_per_tensor(x, 2.0, 0, torch.qint8).dequantize(),
            "to the type 12 is not known",
        ),
        (
            lambda x: quantized.batch_norm2d(
                codes(x), *[torch.ones(3)] * 4, 1e-5, 1.0, 0
            ).dequantize(),
            "operation quantized::batch_norm2d of TorchScript is not known here",
        ),
    ],
)
def test_other_codes_and_kernels_are_told(
    function: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotRunHere, match=message):
        lifted(lite_file(OfPixels(function), tmp_path / "other.ptl"))
