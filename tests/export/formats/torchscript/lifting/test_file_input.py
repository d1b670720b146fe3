"""A file must cast and permute its pixels before all else, and may normalise them on rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.errors import CannotRunHere, Unreadable
from export.formats.torchscript.format import lifted
from pipeline.program.operations import operation_of
from tests.export.formats.torchscript.lifting.lite_functions import (
    PORTS,
    SIDE,
    OfPixels,
    image,
    lite_file,
    pixels,
)

MEAN, STD = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([50.0, 60.0, 70.0])


class OfImage(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _rows(x: Tensor) -> Tensor:
    rows = x.flatten(2).to(torch.float32) - MEAN.repeat(SIDE[1])
    rows = rows.div_(STD.repeat(SIDE[1]))
    return rows.reshape(-1, *SIDE, 3).permute(0, 3, 1, 2)


def test_what_was_computed_on_rows_is_computed_on_channels(tmp_path: Path) -> None:
    program = lifted(lite_file(OfImage(_rows), tmp_path / "rows.ptl"))
    assert [operation_of(node) for node in program.operations()] == ["sub.Tensor", "div.Tensor"]
    shapes = [tuple(tensor.shape) for tensor in program.tensors().values()]
    assert shapes == [(1, 3, 1, 1)] * 2
    assert torch.equal(program.network(pixels()), _rows(image()))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.permute(0, 3, 2, 1).float(), "aten::permute on NHWC pixels"),
        (lambda x: x.float() / 2, "aten::div on NHWC pixels"),
        (lambda x: x.flip(3).permute(0, 3, 1, 2).float(), "aten::flip on NHWC pixels"),
        (lambda x: x.permute(0, 3, 1, 2).half(), "aten::to on NCHW pixels"),
        (
            lambda x: x.permute(0, 3, 1, 2).float() + x.permute(0, 3, 1, 2).float(),
            "uses its pixels twice",
        ),
        (
            lambda x: (x.flatten(2).float() - torch.arange(36)).reshape(-1, *SIDE, 3),
            "pixels normalised by place",
        ),
        (lambda x: x.flatten(2).float().reshape(-1, 12, 8, 3), "pixels of 8x12 as 12x8"),
    ],
)
def test_pixels_that_are_used_in_another_way_are_told(
    function: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotRunHere, match=message):
        lifted(lite_file(OfImage(function), tmp_path / "other.ptl"))


@pytest.mark.parametrize("port", [{"dtype": "float32"}, {"shape": [2, *SIDE, 3]}, {"shape": [1]}])
def test_an_input_that_is_no_image_is_refused(port: dict[str, object], tmp_path: Path) -> None:
    ports = {"inputs": [{**PORTS["inputs"][0], **port}]}
    path = lite_file(OfPixels(torch.relu), tmp_path / "other.ptl", ports)
    with pytest.raises(Unreadable, match="is not a file of this project"):
        lifted(path)


def test_code_for_another_size_contradicts_itself(tmp_path: Path) -> None:
    ports = {"inputs": [{**PORTS["inputs"][0], "shape": [1, 9, 9, 3]}]}
    path = lite_file(OfPixels(lambda x: x.view(1, 3, 96)), tmp_path / "other.ptl", ports)
    with pytest.raises(Unreadable, match="its code contradicts itself"):
        lifted(path)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.ptl"
    path.write_bytes(b"nothing")
    with pytest.raises(Unreadable, match="is not a file of this project"):
        lifted(path)
