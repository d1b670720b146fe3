"""The evaluator as a runner of parity: `load` and `run` as formats have them, and the structure."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.coreml_evaluator.evaluate import Program
    from export.graph import DeployGraph

BATCH: Final = 16
RUN_BY: Final = f"evaluated on {platform.system()}"


def load(path: Path, threads: int = 1) -> Program:
    """A program, decompressed. Raises Unreadable."""
    import torch

    from export.coreml_evaluator.evaluate import load_program

    torch.set_num_threads(threads)
    return load_program(path)


def run(session: Program, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 (N, H, W, 3) RGB -> float32 (N, K) in the order of the program's labels."""
    from export.coreml_evaluator.evaluate import evaluate

    rows = [list(evaluate(session, image).values()) for image in images]
    return np.array(rows, dtype=np.float32)


def structure_diff(path: Path, graph: DeployGraph, images: NDArray[np.uint8]) -> float:
    """Largest |Δp| between the program, unrounded, and PyTorch holding the program's own weights.

    Raises:
        Unreadable: damaged, unknown, or not the layers of this network.
    """
    import torch

    from export.coreml_evaluator.evaluate import evaluate, load_program
    from export.coreml_evaluator.twin import build_twin

    program = load_program(path)
    twin = build_twin(program, graph.pixels)
    largest = 0.0
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32)
        with torch.inference_mode():
            expected = twin(pixels).numpy()
        rows = [list(evaluate(program, image, round_half=False).values()) for image in batch]
        diff = np.abs(np.array(rows) - expected)
        largest = max(largest, float(np.where(np.isfinite(diff), diff, np.inf).max()))
    return largest
