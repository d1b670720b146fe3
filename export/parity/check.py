"""Parity: does an artifact, read back from disk, give PyTorch's outputs?

In: an artifact, images, PyTorch's outputs. Out: `ParityResult`: pass, fail, or not run with
the reason. What was not compared never counts as passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from export.errors import CannotRunHere, Unreadable
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.parity.declared_interface import interface_violations
from export.parity.entries import ParityEntry, SetEntry
from export.parity.evidence import EvidenceAgreement, compare_evidence
from export.parity.reading import Reading
from export.parity.rounding_amplification import rounding_amplification
from export.parity.weights import weight_violations
from pipeline.errors import install_command, missing_modules
from pipeline.metrics.classification import decide

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.outputs import Answers
    from export.formats.base import Runner
    from export.formats.description import Tolerance
    from export.parity.reference import Reference
    from pipeline.model_spec import ModelSpec

Status = Literal["pass", "fail", "not_run"]
STRUCTURE_TOLERANCE = 1e-5
EVIDENCE_STRUCTURE_TOLERANCE = 1e-4  # a place is not averaged: sums in another order show
STRUCTURE_IMAGES = 24  # the hard set is last, a few photographs come before it
SUM_TOLERANCE = 1e-3  # of a row of probabilities, fp16 included
MOST = 0.5  # of a difference: PyTorch itself then explains more than is left


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
        how: what ran it.
        parts: of the check -> ``pass``, or what is wrong.
        probs: the file's probabilities, float32 (N, K); None when not run.
        evidence: how the file's evidence compares; None when it gives none, or was not run.
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
    how: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    probs: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    evidence: EvidenceAgreement | None = None

    def entry(self) -> ParityEntry:
        """The form in documents."""
        sets = {
            name: SetEntry(
                images=found.images,
                max_abs_diff=_finite(found.max_abs_diff),
                mean_abs_diff=_finite(found.mean_abs_diff),
                label_flips=found.label_flips,
            )
            for name, found in self.sets.items()
        }
        return ParityEntry(
            status=self.status,
            reason=self.reason,
            images=self.images,
            max_abs_diff=_finite(self.max_abs_diff),
            mean_abs_diff=_finite(self.mean_abs_diff),
            label_flips=self.label_flips,
            how=self.how,
            parts=self.parts,
            worst_image=self.worst_image,
            sets=sets,
            tolerance=self.tolerance,
            evidence=self.evidence.entry() if self.evidence else None,
        )


@runtime_checkable
class StructureRunner(Protocol):
    """A runner that can also compare a file with PyTorch holding the file's own weights."""

    def structure_diff(
        self, session: Any, graph: DeployGraph, images: NDArray[np.uint8]
    ) -> tuple[float, float]:
        """Largest |Δp|, and largest difference of evidence, relative."""


def check_artifact(
    format_name: str,
    precision: str,
    path: Path,
    reference: Reference,
    needs_evidence: bool = True,
    reading: Reading | None = None,
) -> ParityResult:
    """Read an artifact back and compare it with the checkpoint, part by part.

    - contract: labels, identity, input and output, as the file declares them;
    - weights: each stored value is the checkpoint's, rounded;
    - structure: with the file's own weights PyTorch computes the same (where the outputs alone
      cannot distinguish a wrong operation from a rounded weight);
    - outputs: its probabilities are PyTorch's, by every runner available here;
    - evidence: the same for evidence, if the network has any; its mean gives the probabilities.

    Args:
        format_name, precision: keys of `FORMATS` and its tolerances.
        path: the artifact on disk.
        reference: the checkpoint, run.
        needs_evidence: whether a file without evidence fails where the network has it.
        reading: of the same file, if it was compared before and has not changed.
    """
    facts = FORMATS[format_name]
    tolerance = facts.precisions[precision].tolerance
    missing = missing_modules(facts.requires)
    if missing:
        command = install_command(missing, facts.extras_of(missing))
        reason = f"{', '.join(missing)} is not installed; {command}"
        return ParityResult("not_run", reason, tolerance=tolerance)
    verbs = verbs_of(format_name)
    reading = reading or Reading(verbs, path)
    try:
        description = reading.description
    except CannotRunHere as error:
        return ParityResult("not_run", str(error), tolerance=tolerance)
    except Exception as error:  # a reader of a damaged file may raise anything
        return ParityResult("fail", _one_line(error, "reading"), tolerance=tolerance)
    parts = {
        "contract": _part(
            interface_violations(
                description,
                reference.spec,
                reference.checkpoint_sha256,
                _evidence_shape(reference),
                needs_evidence,
            )
        ),
        "weights": _weights(reading, reference),
        **_structure(reading, reference),
    }
    runners = (verbs, *verbs.ALSO)
    outputs = check_outputs(runners, reading, reference, tolerance, needs_evidence)
    all_parts = {**parts, **outputs.parts}
    faults = [f"{part}: {verdict}" for part, verdict in parts.items() if verdict != "pass"]
    if not faults:
        reason = outputs.reason + _if_the_network_itself(outputs, reading, reference)
        return replace(outputs, reason=reason, parts=all_parts)
    if outputs.status == "fail":
        faults.append(outputs.reason)
    return replace(outputs, status="fail", reason="; ".join(faults), parts=all_parts)


def _evidence_shape(reference: Reference) -> tuple[int, ...] | None:
    """(1, K, h, w), or None."""
    evidence = reference.answers.evidence
    return None if evidence is None else (1, *evidence.shape[1:])


def _part(violations: Sequence[str]) -> str:
    """`pass`, or what is wrong; for many weights the first few."""
    more = f" (and {len(violations) - 3} more)" if len(violations) > 3 else ""
    return "; ".join(violations[:3]) + more if violations else "pass"


def _weights(reading: Reading, reference: Reference) -> str:
    try:
        layers = reading.layers
    except Exception as error:  # a reader of a damaged file may raise anything
        return _one_line(error, "reading weights")
    return _part(weight_violations(layers, reference.layers))


def _structure(reading: Reading, reference: Reference) -> dict[str, str]:
    """For formats with an evaluator; elsewhere equal weights let the outputs decide."""
    parts = {}
    for runner in reading.verbs.ALSO:
        if isinstance(runner, StructureRunner):
            few = reference.images.pixels[-STRUCTURE_IMAGES:]
            try:
                diffs = runner.structure_diff(reading.session(runner), reference.graph, few)
            except Exception as error:  # as above
                parts["structure"] = _one_line(error, "comparing the structure")
                continue
            faults = [
                f"{what} {diff:.1e} > {allowed:.0e} to PyTorch with its own weights"
                for what, diff, allowed in zip(
                    ("|Δp|", "evidence"),
                    diffs,
                    (STRUCTURE_TOLERANCE, EVIDENCE_STRUCTURE_TOLERANCE),
                    strict=True,
                )
                if not diff <= allowed
            ]
            parts["structure"] = _part(faults)
    return parts


def _if_the_network_itself(outputs: ParityResult, reading: Reading, reference: Reference) -> str:
    """Appended to the reason if only the outputs fail; empty if rounding does not explain it."""
    if outputs.status != "fail" or outputs.max_abs_diff is None or outputs.worst_image is None:
        return ""
    evidence, tolerance = outputs.evidence, outputs.tolerance
    assert tolerance is not None
    names = [outputs.worst_image, *([evidence.worst_image] if evidence else [])]
    try:
        own = rounding_amplification(reading.layers, reference, names)
    except Unreadable:
        return ""  # layers that fit no module: the verdict needs no explanation
    explained = []  # per failed part: is it too far off, and PyTorch itself most of that way?
    if outputs.parts["outputs"] != "pass":
        far = outputs.max_abs_diff > tolerance.max_abs_diff or bool(outputs.label_flips)
        explained.append(far and own.max_abs_diff >= MOST * outputs.max_abs_diff)
    if outputs.parts.get("evidence", "pass") != "pass":
        found = evidence.max_rel_diff if evidence else 0.0
        far = found > tolerance.max_evidence_diff
        explained.append(far and own.max_rel_diff >= MOST * found)
    return f"; {own.sentence()}" if all(explained) else ""


def check_outputs(
    runners: Sequence[Runner],
    reading: Reading,
    reference: Reference,
    tolerance: Tolerance,
    needs_evidence: bool = True,
) -> ParityResult:
    """Run the file with each of `runners` and compare its outputs with PyTorch's.

    The worst result counts. A runner that is not available here is skipped; if none is available,
    the result is `not_run` with their reasons.
    """
    results: list[ParityResult] = []
    excuses: list[str] = []
    for runner in runners:
        try:
            answers = reading.answers(runner, reference.images.pixels)
        except CannotRunHere as error:
            excuses.append(str(error))
            continue
        except Exception as error:  # a runtime may load a file and then fail to run it
            reason = _one_line(error, "running")
            results.append(ParityResult("fail", reason, tolerance=tolerance))
            continue
        result = _compare_all(answers, reference, tolerance, needs_evidence)
        results.append(replace(result, how=runner.RUN_BY))
    if not results:
        return ParityResult("not_run", "; ".join(excuses), tolerance=tolerance)
    worst = max(results, key=lambda r: (r.status == "fail", r.max_abs_diff or 0.0))
    how = ", ".join(r.how if len(results) == 1 else _with_figures(r) for r in results if r.how)
    return replace(worst, how=how, parts=worst.parts or {"outputs": worst.reason or "pass"})


def _compare_all(
    answers: Answers, reference: Reference, tolerance: Tolerance, needs_evidence: bool
) -> ParityResult:
    """Probabilities and evidence, each a part."""
    images = reference.images
    result = compare(
        answers.probs, reference.probs, reference.spec, images.names, images.groups, tolerance
    )
    parts = {"outputs": result.reason or "pass"}
    if answers.evidence is not None:
        agreement, faults = compare_evidence(
            answers, reference.answers, images.names, tolerance.max_evidence_diff
        )
    elif reference.answers.evidence is not None and needs_evidence:
        agreement, faults = None, ["the file gives none, PyTorch does"]
    else:
        return replace(result, parts=parts)
    parts["evidence"] = "; ".join(faults) or "pass"
    if faults:
        reasons = [result.reason] * bool(result.reason) + [f"evidence: {parts['evidence']}"]
        result = replace(result, status="fail", reason="; ".join(reasons))
    return replace(result, parts=parts, evidence=agreement)


def _with_figures(result: ParityResult) -> str:
    """One of several ways to run a file, with its own figures."""
    return f"{result.how} (max |Δp| {result.max_abs_diff:.1e}, {result.label_flips} label flips)"


def _one_line(error: Exception, doing: str) -> str:
    """An error in one line; with its type if foreign code raised it."""
    if isinstance(error, Unreadable):
        return str(error)
    lines = str(error).strip().splitlines() or ["no message"]
    return f"{type(error).__name__} while {doing}: {lines[0]}"


def compare(
    probs: NDArray[np.float32],
    reference: NDArray[np.float32],
    spec: ModelSpec,
    names: Sequence[str],
    groups: Sequence[str],
    tolerance: Tolerance,
) -> ParityResult:
    """Compare an artifact's probabilities (N, K) with PyTorch's (N, K)."""
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
        probs=probs,
    )


def _agreement(diff: NDArray[np.float64], flips: NDArray[np.bool_]) -> Agreement:
    return Agreement(len(diff), float(diff.max()), float(diff.mean()), int(flips.sum()))


def _finite(value: float | None) -> float | None:
    """None if it is not finite, as documents have it."""
    return value if value is not None and math.isfinite(value) else None
