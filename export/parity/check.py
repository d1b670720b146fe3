"""Parity: does an artifact, read back from disk, give PyTorch's outputs?

In: an artifact, images, PyTorch's outputs. Out: `ParityResult`: pass, fail, or not run with
the reason. What was not compared never counts as passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from export.deploy.outputs import evidence_diff
from export.errors import CannotRunHere
from export.formats.base import verbs_of
from export.formats.description import Tolerance
from export.formats.register import FORMATS
from export.parity.allowance import Allowance, allowance, plain_allowance
from export.parity.declared_interface import interface_violations
from export.parity.entries import ParityEntry, RoundingEntry, SetEntry
from export.parity.evidence import EvidenceAgreement, compare_evidence
from export.parity.network.network_parts import NOT_CHECKED, NOT_RUN, network_parts, one_line, part
from export.parity.reading import Reading
from export.parity.reference import last_images
from pipeline.errors import install_command, missing_modules
from pipeline.metrics.classification import boundary_distance, decide

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from export.deploy.graph import DeployGraph
    from export.deploy.outputs import Answers
    from export.formats.base import Runner
    from export.formats.facts import Arithmetic
    from export.parity.reference import Reference
    from pipeline.model_spec import ModelSpec

    Diffs = NDArray[np.float64]

Status = Literal["pass", "fail", "not_run"]
STRUCTURE_TOLERANCE = Tolerance(
    1e-5, 0.0, "the same operations; a place of evidence shows sums in another order", 1e-4
)
STRUCTURE_IMAGES = 24  # the hard set is last, a few photographs come before it
OPEN = (NOT_RUN, NOT_CHECKED)  # how a verdict begins that is none
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
        status: see the module; `not_run` too if nothing is wrong, but a part was not run.
        reason: why it failed or was not run; empty when passed.
        images: compared; 0 when not run.
        max_abs_diff, mean_abs_diff: of any probability; None when not run.
        label_flips: images whose decided label differs.
        non_finite: images with a NaN or an infinite output.
        worst_image: name of the image with the largest difference.
        sets: the same by set of images.
        tolerance: what was allowed.
        rounding: what was allowed beyond it, since PyTorch itself moves as far; None: nothing.
        how: what ran it.
        parts: of the check -> ``pass``, or what is wrong, or ``not run:`` and why, or
            ``not checked:`` and what nothing has compared.
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
    rounding: RoundingEntry | None = None

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
            rounding=self.rounding,
        )


@runtime_checkable
class StructureRunner(Protocol):
    """A runner that can also compare a file with PyTorch holding the file's own weights."""

    def structure_diff(
        self, session: Any, graph: DeployGraph, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N,) each: the largest |Δp| of an image, and the largest difference of evidence."""


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
    - weights: each stored value is the checkpoint's, rounded, and none of the network's is left
      unseen;
    - structure: the file's operations are the network's, where its format can be read as a program;
      and with the file's own weights PyTorch computes the same, where there is an evaluator;
    - outputs: its probabilities are PyTorch's, by every runner available here;
    - evidence: the same for evidence, if the network has any; its mean gives the probabilities.

    PyTorch holds the weights that the file should hold, rounded as they are there. So this judges
    the file, not what its precision costs the model: `export.parity.quality_gate` does. Nor is a
    file refused for a network that enlarges rounding (`export.parity.allowance`).

    Args:
        format_name, precision: keys of `FORMATS` and its tolerances.
        path: the artifact on disk.
        reference: the checkpoint, run.
        needs_evidence: whether a file without evidence fails where the network has it.
        reading: of the same file, if it was compared before and has not changed.
    """
    facts = FORMATS[format_name]
    tolerance = facts.precisions[precision].tolerance
    arithmetic = facts.precisions[precision].arithmetic
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
        return ParityResult("fail", one_line(error, "reading"), tolerance=tolerance)
    parts = {
        "contract": part(
            interface_violations(
                description,
                reference.spec,
                reference.checkpoint_sha256,
                _evidence_shape(reference),
                needs_evidence,
            )
        ),
        **network_parts(reading, reference, arithmetic == "fp16", needs_evidence),
    }
    if "structure" not in parts or parts["structure"].startswith(("pass", NOT_RUN)):
        parts |= _by_evaluator(reading, reference, parts.get("structure"))
    runners = (verbs, *verbs.ALSO)
    outputs = check_outputs(runners, reading, reference, tolerance, arithmetic, needs_evidence)
    all_parts = {**parts, **outputs.parts}
    faults = [
        f"{name}: {verdict}"
        for name, verdict in parts.items()
        if verdict != "pass" and not verdict.startswith(OPEN)
    ]
    if outputs.status == "fail":
        faults.append(outputs.reason)
    if faults:
        return replace(outputs, status="fail", reason="; ".join(faults), parts=all_parts)
    lacking = {v.removeprefix(NOT_RUN) for v in all_parts.values() if v != "pass"}
    if lacking:
        reason = "; ".join(_each_once(lacking))
        return replace(outputs, status="not_run", reason=reason, parts=all_parts)
    return replace(outputs, parts=all_parts)


def _each_once(reasons: Set[str]) -> list[str]:
    """Sorted, without those that are a piece of another."""
    return sorted(one for one in reasons if not any(one in other for other in reasons - {one}))


def _evidence_shape(reference: Reference) -> tuple[int, ...] | None:
    """(1, K, h, w), or None."""
    evidence = reference.answers.evidence
    return None if evidence is None else (1, *evidence.shape[1:])


def _by_evaluator(reading: Reading, reference: Reference, by_program: str | None) -> dict[str, str]:
    """Of formats with an evaluator: what it computes with the file's own weights is compared.

    Args:
        by_program: what a comparison of programs said, ``pass`` or ``not run:``; None: there was
            none. An evaluator that lacks an operation takes nothing from it.
    """
    parts = {}
    for runner in reading.verbs.ALSO:
        if isinstance(runner, StructureRunner):
            few = last_images(reference, STRUCTURE_IMAGES)
            try:
                session, pixels = reading.session(runner), few.images.pixels[:]
                diffs = runner.structure_diff(session, few.graph, pixels)
            except CannotRunHere as error:
                parts["structure"] = by_program or f"{NOT_RUN}{error}"
                continue
            except Exception as error:  # as above
                parts["structure"] = one_line(error, "comparing the structure")
                continue
            allowed = allowance(*diffs, few, STRUCTURE_TOLERANCE, "fp32")
            faults = [
                f"{what} {diff[worst]:.1e} > {most[worst]:.0e} to PyTorch with its own weights"
                for what, diff, most in zip(
                    ("|Δp|", "evidence"), diffs, (allowed.probs, allowed.evidence), strict=True
                )
                for worst in [_worst(diff, most)]
                if not diff[worst] <= most[worst]
            ]
            parts["structure"] = part(faults)
    return parts


def check_outputs(
    runners: Sequence[Runner],
    reading: Reading,
    reference: Reference,
    tolerance: Tolerance,
    arithmetic: Arithmetic,
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
            reason = one_line(error, "running")
            results.append(ParityResult("fail", reason, tolerance=tolerance))
            continue
        result = _compare_all(answers, reference, tolerance, arithmetic, needs_evidence)
        results.append(replace(result, how=runner.RUN_BY))
    if not results:
        reason = "; ".join(excuses)
        parts = {"outputs": f"{NOT_RUN}{reason}"}
        return ParityResult("not_run", reason, tolerance=tolerance, parts=parts)
    worst = max(results, key=lambda r: (r.status == "fail", r.max_abs_diff or 0.0))
    how = ", ".join(r.how if len(results) == 1 else _with_figures(r) for r in results if r.how)
    return replace(worst, how=how, parts=worst.parts or {"outputs": worst.reason or "pass"})


def _compare_all(
    answers: Answers,
    reference: Reference,
    tolerance: Tolerance,
    arithmetic: Arithmetic,
    needs_evidence: bool,
) -> ParityResult:
    """Probabilities and evidence, each a part."""
    images, own = reference.images, reference.answers
    allowed = _allowed(answers, reference, tolerance, arithmetic)
    result = compare(
        answers.probs, own.probs, reference.spec, images.names, images.groups, tolerance, allowed
    )
    parts = {"outputs": result.reason or "pass"}
    if answers.evidence is not None:
        agreement, faults = compare_evidence(answers, own, images.names, allowed.evidence)
    elif own.evidence is not None and needs_evidence:
        agreement, faults = None, ["the file gives none, PyTorch does"]
    else:
        return replace(result, parts=parts)
    parts["evidence"] = "; ".join(faults) or "pass"
    if faults:
        reasons = [result.reason] * bool(result.reason) + [f"evidence: {parts['evidence']}"]
        result = replace(result, status="fail", reason="; ".join(reasons))
    return replace(result, parts=parts, evidence=agreement)


def _allowed(
    answers: Answers, reference: Reference, tolerance: Tolerance, arithmetic: Arithmetic
) -> Allowance:
    """What is allowed on each image; the tolerance alone where nothing can be compared."""
    own, maps = reference.answers, answers.evidence
    if answers.probs.shape != own.probs.shape:
        return plain_allowance(reference.probs, tolerance)
    diff, apart = largest_diff(answers.probs, own.probs), np.zeros(len(own.probs))
    if maps is not None and own.evidence is not None and maps.shape == own.evidence.shape:
        apart = evidence_diff(maps, own.evidence)
    return allowance(diff, apart, reference, tolerance, arithmetic)


def _with_figures(result: ParityResult) -> str:
    """One of several ways to run a file, with its own figures."""
    return f"{result.how} (max |Δp| {result.max_abs_diff:.1e}, {result.label_flips} label flips)"


def largest_diff(probs: NDArray[np.float32], reference: NDArray[np.float32]) -> Diffs:
    """(N,): the largest |Δp| of each image, float64; infinite where an output is not finite."""
    with np.errstate(invalid="ignore"):
        diff = np.abs(probs.astype(np.float64) - reference).max(axis=1)
    return np.where(np.isfinite(probs).all(axis=1), diff, np.inf)


def compare(
    probs: NDArray[np.float32],
    reference: NDArray[np.float32],
    spec: ModelSpec,
    names: Sequence[str],
    groups: Sequence[str],
    tolerance: Tolerance,
    allowed: Allowance | None = None,
) -> ParityResult:
    """Compare an artifact's probabilities (N, K) with PyTorch's (N, K).

    An image that stands so near to the threshold, or between two classes, that the allowed
    difference decides it, may be decided either way: such a flip is counted, and is no fault.

    Args:
        allowed: on each image; None: the tolerance alone.
    """
    if probs.shape != reference.shape:
        reason = f"output shape {probs.shape}, PyTorch's {reference.shape}"
        return ParityResult("fail", reason, tolerance=tolerance)
    allowed = allowed or plain_allowance(reference, tolerance)
    diff = largest_diff(probs, reference)
    finite = np.isfinite(probs).all(axis=1)
    rule = (spec.positive_index, spec.threshold)
    decision = decide(probs, *rule)
    flips = decision != decide(reference, *rule)
    faulty = flips & (boundary_distance(reference, decision, *rule) > allowed.probs)
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
    worst = _worst(diff, allowed.probs)
    if not diff[worst] <= allowed.probs[worst]:
        faults.append(f"max |Δp| {diff[worst]:.1e} > {allowed.probs[worst]:.0e} on {names[worst]}")
    if faulty.sum() > tolerance.max_flip_rate * total.images:
        faults.append(f"{int(faulty.sum())} of {total.images} labels flipped")
    return ParityResult(
        status="fail" if faults else "pass",
        reason="; ".join(faults),
        images=total.images,
        max_abs_diff=total.max_abs_diff,
        mean_abs_diff=total.mean_abs_diff,
        label_flips=total.label_flips,
        non_finite=int((~finite).sum()),
        worst_image=names[worst if faults else int(np.argmax(diff))],
        sets=sets,
        tolerance=tolerance,
        probs=probs,
        rounding=allowed.rounding,
    )


def _worst(diff: Diffs, allowed: NDArray[np.floating]) -> int:
    """The image that exceeds what is allowed by most, or comes nearest to it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return int(np.argmax(np.where(np.isfinite(diff), diff - allowed, np.inf)))


def _agreement(diff: NDArray[np.float64], flips: NDArray[np.bool_]) -> Agreement:
    return Agreement(len(diff), float(diff.max()), float(diff.mean()), int(flips.sum()))


def _finite(value: float | None) -> float | None:
    """None if it is not finite, as documents have it."""
    return value if value is not None and math.isfinite(value) else None
