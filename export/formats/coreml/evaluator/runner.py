"""The evaluator as a runner of parity: `load` and `run` as formats have them, and the structure."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

import numpy as np

from export.deploy.outputs import Answers, evidence_diff, gathered
from export.errors import Unreadable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.formats.coreml.evaluator.evaluate import Program

BATCH: Final = 16
RUN_BY: Final = f"evaluated on {platform.system()}"


def load(path: Path, threads: int = 1) -> Program:
    """A program, decompressed. Raises Unreadable."""
    import torch

    from export.formats.coreml.evaluator.evaluate import load_program

    torch.set_num_threads(threads)
    return load_program(path)


def run(session: Program, images: NDArray[np.uint8]) -> Answers:
    """Outputs for uint8 (N, H, W, 3) RGB, in the order of the program's labels."""
    return _answers(session, images, round_half=True)


def structure_diff(
    program: Program, graph: DeployGraph, images: NDArray[np.uint8]
) -> tuple[float, float]:
    """How far the program, unrounded, is from PyTorch with the program's own weights.

    The largest |Δp|, and the largest difference of its evidence
    (`export.deploy.outputs.evidence_diff`), 0 if it has none.

    Raises:
        Unreadable: unknown operations, or layers of another network.
    """
    import torch

    from export.deploy.graph import listed
    from export.formats.coreml.evaluator.reference_network import build_reference_network

    reference = build_reference_network(program, graph.pixels)
    probs_diff, map_diff = 0.0, 0.0
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        pixels = torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32)
        with torch.inference_mode():
            expected = Answers(*(output.numpy() for output in listed(reference(pixels))))
        found = _answers(program, batch, round_half=False)
        diff = np.abs(found.probs - expected.probs)
        probs_diff = max(probs_diff, float(np.where(np.isfinite(diff), diff, np.inf).max()))
        if found.evidence is not None and expected.evidence is not None:
            if found.evidence.shape != expected.evidence.shape:
                raise Unreadable(
                    f"{program.name}: evidence of {found.evidence.shape}, the network's is of "
                    f"{expected.evidence.shape}"
                )
            map_diff = max(map_diff, float(evidence_diff(found.evidence, expected.evidence).max()))
    return probs_diff, map_diff


def _answers(program: Program, images: NDArray[np.uint8], round_half: bool) -> Answers:
    from export.formats.coreml.evaluator.evaluate import evaluate

    found = (evaluate(program, image, round_half=round_half) for image in images)
    return gathered(
        [np.array([list(one.by_label.values())], np.float32)]
        + ([] if one.evidence is None else [one.evidence])
        for one in found
    )
