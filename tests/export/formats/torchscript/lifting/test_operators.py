"""Operators of a lite file: what they come down to, and that they compute the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from export.errors import CannotRunHere
from export.formats.torchscript.format import lifted
from pipeline.program.operations import operation_of
from tests.export.formats.torchscript.lifting.lite_functions import OfPixels, lite_file, pixels

KERNEL = torch.linspace(-1, 1, 3 * 3 * 9).reshape(3, 3, 3, 3)


def _sizes(x: Tensor) -> Tensor:
    batch, channels, height, width = x.size()
    return x.view(batch, channels, height // 2, 2, width).transpose(1, 2).reshape(batch, -1, width)


def _padded(x: Tensor) -> Tensor:
    short = [max((-(-n // 3) - 1) * 3 + 4 - n, 0) for n in x.shape[-2:]]
    return F.pad(x, [0, short[1], 0, short[0]])


def _changed_slice(x: Tensor) -> Tensor:
    x = x * 2
    x[:, :2, 1:] += x[:, 1:, 1:]
    return x


def _changed_sum(x: Tensor) -> Tensor:
    y = x * 2
    z = y
    y += x
    return z.relu_().add(y)


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "convolution": (lambda x: torch.conv2d(x, KERNEL, stride=(2, 1), padding=1), "conv2d"),
    "flatten": (lambda x: x.flatten(2, -1), "reshape"),
    "unflatten": (lambda x: x.unflatten(3, (3, 4)), "reshape"),
    "view as": (lambda x: x.view_as(torch.zeros(1, 3, 12, 8)), "reshape"),
    "expand as": (lambda x: x[:, :1].expand_as(torch.zeros(1, 3, 8, 12)), "slice.Tensor expand"),
    "split": (lambda x: torch.split(x, [2, 1], 1)[0], "slice.Tensor"),
    "chunk": (lambda x: torch.cat(x.chunk(2, 3)[::-1], 3), "slice.Tensor slice.Tensor cat"),
    "narrow": (lambda x: x.narrow(2, 1, 3), "slice.Tensor"),
    "concat": (lambda x: torch.concat([x, x], 1), "cat"),
    "dropout": (lambda x: F.dropout(x, 0.5, training=False), ""),
    "relu6": (lambda x: F.relu6(x), "hardtanh"),
    "clamp by a number": (lambda x: x.clamp_min(KERNEL[0, 0, 0, 0] + 90), "clamp"),
    "clamp by a tensor": (lambda x: x.clamp_min(100 * KERNEL[0, 0, :1].repeat(1, 4)), "maximum"),
    "square": (lambda x: x.square(), "mul.Tensor"),
    "length": (lambda x: F.normalize(x), "linalg_vector_norm clamp expand div.Tensor"),
    "sizes": (_sizes, "reshape permute reshape"),
    "padding by size": (_padded, "constant_pad_nd"),
    "a slice that changes": (
        _changed_slice,
        "mul.Tensor slice.Tensor slice.Tensor slice.Tensor slice.Tensor add.Tensor",
    ),
    "a sum in place": (_changed_sum, "mul.Tensor add.Tensor relu add.Tensor"),
    "a fused sum": (lambda x: torch.ops.aten._add_relu(x, -2 * x), "mul.Tensor add.Tensor relu"),
    "a number on the left": (lambda x: 3 - x, "neg add.Tensor"),
    "a constant": (lambda x: x * torch.arange(12).float().add(1), "mul.Tensor"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operator_comes_down_to_those_of_a_program_and_computes_the_same(
    name: str, tmp_path: Path
) -> None:
    function, wanted = FUNCTIONS[name]
    program = lifted(lite_file(OfPixels(function), tmp_path / "one.ptl"))
    found = [str(operation_of(node)) for node in program.operations()]
    assert found[: len(wanted.split())] == wanted.split()
    torch.testing.assert_close(program.network(pixels()), function(pixels()))


def _both_read(x: Tensor) -> Tensor:
    y = x * 2
    view = y.reshape(1, 3, -1)
    y += 1
    return view


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.cummax(x, 1).values, "operation aten::cummax of TorchScript is not known"),
        (lambda x: x.erfinv(), "operation aten::erfinv of TorchScript is not known"),
        (lambda x: F.dropout(x), "a dropout that drops out"),
        (lambda x: F.conv_transpose2d(x, KERNEL), "a transposed convolution is not known"),
        (lambda x: x.double(), "a cast from torch.float32 to torch.float64, of aten::to.dtype"),
        (lambda x: x.bfloat16(), "aten::to with the type 15"),
        (_both_read, "a tensor whose memory another may have changed"),
        (lambda x: x + torch.rand(1), "operation aten::rand"),
        (lambda x: torch.ones(3), "an output that does not depend on the pixels"),
    ],
)
def test_what_is_not_known_is_told_by_name(
    function: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotRunHere, match=message):
        lifted(lite_file(OfPixels(function), tmp_path / "one.ptl"))
