"""Replay: do the golden images become their tensors here, and is every file's output right?

In: an asset folder. Out: a `PackReplay`: per image how far the resize rule's pixels are from the
tensor, per artifact how far its probabilities are from PyTorch's; the pack holds both. Needs
neither torch nor a checkpoint, only the runtimes; a file without one is not run, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from export.errors import CannotRunHere, Unreadable
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.golden.document import PACK_FILE
from export.golden.pack import Case, Pack, read_pack, refuse_other_model
from export.images.golden_images import GROUP, PixelTolerance, golden_images
from export.manifest.manifest import MANIFEST_FILE, ArtifactEntry, Manifest, read_manifest
from pipeline.errors import BadInput
from pipeline.images import read_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.formats.base import Runner
    from export.parity.reference import References
    from pipeline.resize.rule import Resize

Status = Literal["pass", "fail", "not_run"]


@dataclass(frozen=True)
class PixelResult:
    """The resize rule here on one image; differences in counts of 0 to 255."""

    case: str
    status: Status
    max_abs: int | None
    mean_abs: float | None
    tolerance: PixelTolerance
    reason: str = ""


@dataclass(frozen=True)
class AnswerResult:
    """How far one artifact is off on the tensors.

    Attributes:
        path: of the artifact in its folder.
        max_abs_diff: of any probability; None when not run.
        worst_case: the case with that difference.
        tolerance: the largest difference allowed.
        how: how it was run.
        reason: why it failed or was not run.
    """

    path: str
    status: Status
    tolerance: float | None
    max_abs_diff: float | None = None
    worst_case: str | None = None
    how: str = ""
    reason: str = ""


@dataclass(frozen=True)
class PackReplay:
    """All results.

    Attributes:
        pixels: one for each case.
        answers: one for each artifact.
    """

    pack: Pack
    pixels: tuple[PixelResult, ...]
    answers: tuple[AnswerResult, ...]

    @property
    def failed(self) -> bool:
        """Whether anything differs from the pack."""
        wrong_pixels = any(result.status == "fail" for result in self.pixels)
        return wrong_pixels or any(result.status == "fail" for result in self.answers)

    @property
    def not_run(self) -> bool:
        """Whether an artifact has no runtime here."""
        return any(result.status == "not_run" for result in self.answers)


def replay(folder: Path) -> PackReplay:
    """Replay the golden pack of an asset folder.

    Raises:
        BadInput: no manifest or pack, or one that is damaged or of another model.
    """
    pack, artifacts = read_both(folder)
    pixels = tuple(replay_pixels(case, pack.rule) for case in pack.cases)
    answers = tuple(_answers(pack, path, entry) for path, entry in artifacts.items())
    return PackReplay(pack, pixels, answers)


def published_faults(
    manifest: Manifest,
    folder: Path,
    references: References,
    answers: Mapping[str, NDArray[np.float32] | None],
) -> dict[str, str]:
    """What is wrong with a published pack, for `export check`: artifact's path -> fault, or "".

    The images must become their tensors, the tensors must be those of the parity images, and every
    artifact's outputs, just taken by the parity check, must be within tolerance of the pack's. A
    folder without a pack, from an early release, gives no entries; nor does a check on none of its
    images.

    Args:
        manifest: of the folder.
        folder: the asset folder.
        references: the checkpoint on the parity images, golden ones among them; only these cases
            of the pack count.
        answers: artifact's path -> float (N, K), its outputs for those images; None: not run.
    """
    if not any(entry.path == PACK_FILE for entry in manifest.files):
        return {}
    try:
        pack, _ = read_both(folder)
    except BadInput as error:
        return dict.fromkeys(answers, str(error))
    images = references.images
    drawn = {image.name for image in golden_images(pack.rule)}
    for case in pack.cases:
        if case.name not in drawn:
            return dict.fromkeys(answers, f"{PACK_FILE} names {case.name}, unknown to this version")
    cases = tuple(case for case in pack.cases if f"{GROUP}/{case.name}" in images.names)
    if not cases:
        return {}
    pack = replace(pack, cases=cases)
    rows = [images.names.index(f"{GROUP}/{case.name}") for case in pack.cases]
    for case, row in zip(pack.cases, rows, strict=True):
        if not np.array_equal(case.pixels, images.pixels[row]):
            return dict.fromkeys(answers, f"{case.name}: the tensor is of another resize rule")
        result = replay_pixels(case, pack.rule)
        if result.status == "fail":
            return dict.fromkeys(answers, f"{case.name}: {result.reason}")
    return {
        path: "" if probs is None else _held_fault(pack, path, probs[rows])
        for path, probs in answers.items()
    }


def _held_fault(pack: Pack, path: str, probs: NDArray[np.float32]) -> str:
    if path not in pack.tolerances:
        return f"{PACK_FILE} has no answers for {path}"
    return _held(pack, path, probs, "").reason


def read_both(folder: Path) -> tuple[Pack, dict[str, ArtifactEntry]]:
    """The pack of an asset folder, and path -> manifest entry of its artifacts.

    Raises:
        BadInput: as `replay`.
    """
    manifest = read_manifest(folder)
    pack = read_pack(folder)
    refuse_other_model(pack, manifest)
    for entry in manifest.artifacts:
        if entry.format not in FORMATS:
            raise BadInput(f"{folder / MANIFEST_FILE} lists {entry.format}, unknown here")
    return pack, {entry.path: entry for entry in manifest.artifacts}


def replay_pixels(case: Case, rule: Resize) -> PixelResult:
    """Compare the resize rule on one image with its tensor."""
    try:
        pixels = read_image(case.image, rule)
    except BadInput as error:
        return PixelResult(case.name, "fail", None, None, case.tolerance, str(error))
    max_abs, mean_abs = distance(pixels, case.pixels)
    if within(pixels, case.pixels, case.tolerance):
        return PixelResult(case.name, "pass", max_abs, mean_abs, case.tolerance)
    reason = (
        f"pixels differ by {max_abs} at most and {mean_abs:.2f} in the mean; allowed are "
        f"{case.tolerance.max_abs} and {case.tolerance.mean_abs}"
    )
    return PixelResult(case.name, "fail", max_abs, mean_abs, case.tolerance, reason)


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[int, float]:
    """The largest and the mean difference of two images of the same size, in counts."""
    apart = np.abs(one.astype(np.int16) - other)
    return int(apart.max()), float(apart.mean())


def within(one: NDArray[np.uint8], other: NDArray[np.uint8], allowed: PixelTolerance) -> bool:
    """Whether two images of the same size are within the tolerance."""
    max_abs, mean_abs = distance(one, other)
    return max_abs <= allowed.max_abs and mean_abs <= allowed.mean_abs


def run_here(
    path: Path, format_name: str, images: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """The outputs of a file: how it was run -> float (N, K), for every runner that exists here.

    Raises:
        CannotRunHere: there is no runner; with the reasons.
        Unreadable: the file cannot be run: damaged, or not of its format.
    """
    verbs = verbs_of(format_name)
    answers: dict[str, NDArray[np.float32]] = {}
    excuses = []
    for runner in (verbs, *verbs.ALSO):
        try:
            answers[runner.RUN_BY] = _run(runner, path, images)
        except CannotRunHere as error:
            excuses.append(str(error))
        except Unreadable:
            raise
        except Exception as error:  # a runtime that loads a file and then cannot run it
            raise Unreadable(f"{type(error).__name__} while running: {error}") from error
    if not answers:
        raise CannotRunHere("; ".join(excuses))
    return answers


def _run(runner: Runner, path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return runner.run(runner.load(path, threads=1), images).probs


def _answers(pack: Pack, path: str, entry: ArtifactEntry) -> AnswerResult:
    if path not in pack.tolerances:
        return AnswerResult(path, "fail", None, reason=f"{PACK_FILE} has no answers for it")
    images = np.stack([case.pixels for case in pack.cases])
    tolerance = pack.tolerances[path]
    try:
        answers = run_here(pack.folder / path, entry.format, images)
    except CannotRunHere as error:
        return AnswerResult(path, "not_run", tolerance, reason=str(error))
    except Unreadable as error:
        return AnswerResult(path, "fail", tolerance, reason=str(error))
    results = [_held(pack, path, probs, how) for how, probs in answers.items()]
    return max(results, key=lambda r: (r.status == "fail", r.max_abs_diff or 0.0))


def _held(pack: Pack, path: str, probs: NDArray[np.float32], how: str) -> AnswerResult:
    expected = np.stack([case.probs[path] for case in pack.cases])
    tolerance = pack.tolerances[path]
    if probs.shape != expected.shape:
        reason = f"outputs of shape {probs.shape}, not {expected.shape}"
        return AnswerResult(path, "fail", tolerance, how=how, reason=reason)
    diff = np.abs(probs - expected).max(axis=1)
    worst = int(np.argmax(np.where(np.isfinite(diff), diff, np.inf)))
    name, largest = pack.cases[worst].name, float(diff[worst])
    if largest <= tolerance:
        return AnswerResult(path, "pass", tolerance, largest, name, how)
    reason = f"max |Δp| {largest:.1e} > {tolerance:.0e} on {name}"
    return AnswerResult(path, "fail", tolerance, largest, name, how, reason)
