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
    """A program, decompressed. Raises CannotRunHere or Unreadable."""
    import torch

    from export.formats.coreml.evaluator.evaluate import load_program

    torch.set_num_threads(threads)
    return load_program(path)


def run(session: Program, images: NDArray[np.uint8]) -> Answers:
    """Outputs for uint8 (N, H, W, 3) RGB, in the order of the program's labels."""
    return _answers(session, images, round_half=True)


def structure_diff(
    program: Program, graph: DeployGraph, images: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the program, unrounded, is from PyTorch with the program's own weights.

    (N,) each: the largest |Δp| of an image, infinite where one is not finite; and the largest
    difference of its evidence (`export.deploy.outputs.evidence_diff`), 0 without any.

    Raises:
        Unreadable: the program does not fit together, or has layers of another network.
    """
    import torch

    from export.deploy.graph import listed
    from export.formats.coreml.evaluator.reference_network import build_reference_network

    reference = build_reference_network(program, graph.pixels)
    probs_diff, map_diff = np.zeros(len(images)), np.zeros(len(images))
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        pixels = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).to(torch.float32)
        with torch.inference_mode():
            expected = Answers(*(output.numpy() for output in listed(reference(pixels))))
        found = _answers(program, images[rows], round_half=False)
        diff = np.abs(found.probs - expected.probs).max(axis=1)
        probs_diff[rows] = np.where(np.isfinite(diff), diff, np.inf)
        if found.evidence is not None and expected.evidence is not None:
            if found.evidence.shape != expected.evidence.shape:
                raise Unreadable(
                    f"{program.name}: evidence of {found.evidence.shape}, the network's is of "
                    f"{expected.evidence.shape}"
                )
            map_diff[rows] = evidence_diff(found.evidence, expected.evidence)
    return probs_diff, map_diff


def _answers(program: Program, images: NDArray[np.uint8], round_half: bool) -> Answers:
    from export.formats.coreml.evaluator.evaluate import evaluate

    found = (evaluate(program, image, round_half=round_half) for image in images)
    return gathered(
        [np.array([list(one.by_label.values())], np.float32)]
        + ([] if one.evidence is None else [one.evidence])
        for one in found
    )
