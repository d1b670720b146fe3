"""A network of five classes, their names in many scripts, and coloured images to ask it about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from pipeline.checkpoint import write_checkpoint
from pipeline.model_spec import Head, ModelSpec
from pipeline.models.networks import build_network
from tests.conftest import make_spec

FIVE = ("blå", "fünf weiß", "grün", "été", "赤")
COLOURS = {"blå": (40, 60, 220), "été": (230, 180, 30), "赤": (220, 40, 40)}


def five_spec(**changes: object) -> ModelSpec:
    return make_spec(name="colours", labels=FIVE, positive=None, threshold=None, **changes)


def paint(folder: Path, *names: str) -> list[Path]:
    """An image file of each colour, with some texture, wider than high; named by its label."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for name in names or COLOURS:
        noise = rng.integers(-30, 31, (40, 56, 3))
        pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
        paths.append(folder / f"{name} 1.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def write_pooled_network(folder: Path, spec: ModelSpec) -> Path:
    """A checkpoint with the head of an adopted learner, which keeps no evidence."""
    torch.manual_seed(0)
    network = build_network(spec.architecture, len(spec.labels), spec.head).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.bias.normal_(std=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, spec, network.state_dict())
    return folder


POOLED = Head("concat_pool", (16,))
