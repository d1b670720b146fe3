"""Parity: does an artifact, read back from disk, answer as PyTorch does?

In: an artifact, images, PyTorch's probabilities. Out: `ParityResult`: pass, fail, or not run with
the reason. What was not compared never counts as passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from export.contract import contract_violations
from export.errors import CannotRunHere, Unreadable
from export.formats import FORMATS
from pipeline.errors import install_command, missing_modules
from pipeline.metrics import decide

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.formats.base import Tolerance
    from export.parity_images import ParityImages
    from pipeline.checkpoint import ModelSpec

Status = Literal["pass", "fail", "not_run"]
SUM_TOLERANCE = 1e-3  # of a row of probabilities, fp16 included


@dataclass(frozen=True)
class Agreement:
    """How one set of images compares."""

    images: int
    max_abs_diff: float
    mean_abs_diff: float
    label_flips: int


@dataclass(frozen=True)
class ParityResult:
    """The verdict on one artifact.

    Attributes:
        status: see the module.
        reason: why it failed or was not run; empty when passed.
        images: compared; 0 when not run.
        max_abs_diff, mean_abs_diff: of any probability; None when not run.
        label_flips: images whose decided label differs.
        non_finite: images with a NaN or an infinite output.
        worst_image: name of the image with the largest difference.
        sets: the same by set of images.
        tolerance: what was allowed.

    """

    status: Status
    reason: str = ""
    images: int = 0
    max_abs_diff: float | None = None
    mean_abs_diff: float | None = None
    label_flips: int | None = None
    non_finite: int | None = None
    worst_image: str | None = None
    sets: Mapping[str, Agreement] = field(default_factory=dict)
    tolerance: Tolerance | None = None


def check_artifact(
    format_name: str,
    precision: str,
    path: Path,
    spec: ModelSpec,
    checkpoint_sha256: str,
    images: ParityImages,
    reference: NDArray[np.float32],
) -> ParityResult:
    """Read an artifact back, hold it against the contract, run it, compare.

    Args:
        format_name, precision: keys of `FORMATS` and its tolerances.
        path: the artifact on disk.
        spec, checkpoint_sha256: of the checkpoint it must come from.
        images: N images.
        reference: PyTorch's probabilities, float32 (N, K).

    """
    module = FORMATS[format_name]
    tolerance = module.TOLERANCES[precision]
    missing = missing_modules(module.REQUIRES)
    if missing:
        reason = f"{', '.join(missing)} is not installed; {install_command(missing)}"
        return ParityResult("not_run", reason, tolerance=tolerance)
    try:
        violations = contract_violations(module.describe(path), spec, checkpoint_sha256)
        if violations:
            return ParityResult("fail", "; ".join(violations), tolerance=tolerance)
        probs = module.run(module.load(path, threads=1), images.pixels)
    except CannotRunHere as error:
        return ParityResult("not_run", str(error), tolerance=tolerance)
    except Unreadable as error:
        return ParityResult("fail", str(error), tolerance=tolerance)
    except Exception as error:  # a runtime that loads a file and then cannot run it
        summary = f"{type(error).__name__} while running: {str(error).splitlines()[0]}"
        return ParityResult("fail", summary, tolerance=tolerance)
    return compare(probs, reference, spec, images.names, images.groups, tolerance)


def compare(
    probs: NDArray[np.float32],
    reference: NDArray[np.float32],
    spec: ModelSpec,
    names: Sequence[str],
    groups: Sequence[str],
    tolerance: Tolerance,
) -> ParityResult:
    """Hold an artifact's probabilities (N, K) against PyTorch's (N, K)."""
    if probs.shape != reference.shape:
        reason = f"output shape {probs.shape}, PyTorch's {reference.shape}"
        return ParityResult("fail", reason, tolerance=tolerance)
    diff = np.abs(probs.astype(np.float64) - reference).max(axis=1)  # (N,)
    finite = np.isfinite(probs).all(axis=1)
    worst = int(np.argmax(np.where(finite, diff, np.inf)))
    rule = (spec.positive_index, spec.threshold)
    flips = decide(probs, *rule) != decide(reference, *rule)
    sets = {
        group: _agreement(diff[rows], flips[rows])
        for group in dict.fromkeys(groups)
        for rows in [np.array([g == group for g in groups])]
    }
    total = _agreement(diff, flips)
    faults = []
    if not finite.all():
        faults.append(f"{int((~finite).sum())} images with NaN or infinite output")
    off = np.abs(probs.sum(axis=1) - 1)
    if finite.all() and off.max() > SUM_TOLERANCE:
        faults.append(f"probabilities sum to 1 only within {off.max():.1e}")
    if not total.max_abs_diff <= tolerance.max_abs_diff:
        faults.append(
            f"max |Δp| {total.max_abs_diff:.1e} > {tolerance.max_abs_diff:.0e} on {names[worst]}"
        )
    if total.label_flips > tolerance.max_flip_rate * total.images:
        faults.append(f"{total.label_flips} of {total.images} labels flipped")
    return ParityResult(
        status="fail" if faults else "pass",
        reason="; ".join(faults),
        images=total.images,
        max_abs_diff=total.max_abs_diff,
        mean_abs_diff=total.mean_abs_diff,
        label_flips=total.label_flips,
        non_finite=int((~finite).sum()),
        worst_image=names[worst],
        sets=sets,
        tolerance=tolerance,
    )


def _agreement(diff: NDArray[np.float64], flips: NDArray[np.bool_]) -> Agreement:
    return Agreement(len(diff), float(diff.max()), float(diff.mean()), int(flips.sum()))
