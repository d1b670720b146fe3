"""Lite files of single functions of the pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

SIDE = (8, 12)
PORTS = {"inputs": [{"name": "image", "dtype": "uint8", "shape": [1, *SIDE, 3]}], "outputs": []}
Function = Callable[[Tensor], object]


class OfPixels(nn.Module):
    """The function of float32 (1, 3, H, W), 0 to 255."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> object:
        return self.function(image.permute(0, 3, 1, 2).to(torch.float32))


def image() -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, *SIDE, 3), dtype=torch.uint8, generator=draws)


def pixels() -> Tensor:
    return image().permute(0, 3, 1, 2).float()


def lite_file(module: nn.Module, path: Path, ports: object = PORTS) -> Path:
    """The traced module as a lite file."""
    traced = torch.jit.trace(module.eval(), image(), check_trace=False)
    traced._save_for_lite_interpreter(str(path), _extra_files={"ports.json": json.dumps(ports)})
    return path
