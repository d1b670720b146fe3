"""A comparison summed up: every trial, the means over seeds, the rule's choice, the cautions.

In: the request, the protocols' rulings and the results of each trial. Out: a `StudyComparison`.
Nothing is read from disk and nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Final

from pipeline.study.documents import (
    FINE_TUNED,
    FROZEN,
    Choice,
    Estimate,
    Finished,
    Images,
    LeftOut,
    ProtocolSplit,
    SeedDecision,
    SeedFigure,
    StageResult,
    StudyComparison,
    TrialEntry,
    TrialRecord,
)
from pipeline.study.topology_ranking import Candidate, explain, select
from pipeline.study.trial import loss_variance, reached

if TYPE_CHECKING:
    from pipeline.study.protocols import Pool, Ruling
    from pipeline.study.request import Study
    from pipeline.study.trial import Trial

IMAGENET: Final = "ImageNet"
RANDOM: Final = "random"
MIXED: Final = "ImageNet or random, by seed"


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial: its record, or the reason why there is none.

    Attributes:
        taken: it was finished before this run.
    """

    record: TrialRecord | None
    reason: str = ""
    taken: bool = False

    @property
    def told(self) -> str:
        """One line for the terminal."""
        if self.record is None:
            return f"FAILED: {self.reason}"
        figures = {name: self.record.final[name].value for name in ("accuracy", "recall", "auroc")}
        told = ", ".join(f"{name} {v:.3f}" for name, v in figures.items() if v is not None)
        return f"{told}; {self.record.training_s:.0f} s"


def summarise(
    study: Study,
    pool: Pool,
    rulings: Mapping[tuple[str, int], Ruling],
    trials: Sequence[Trial],
    outcomes: Mapping[str, TrialResult],
) -> StudyComparison:
    """The whole comparison."""
    fingerprints = {(trial.protocol, trial.seed): trial.fingerprint for trial in trials}
    entries = [_entry(study, trial, outcomes[trial.name]) for trial in trials]
    return StudyComparison(
        name=study.name or pool.dataset.name,
        data=Images(
            pool.dataset.name, pool.place, pool.dataset.labels, pool.positive, len(pool.samples)
        ),
        request=study,
        protocols=tuple(
            _protocol(key, ruling, fingerprints.get(key)) for key, ruling in rulings.items()
        ),
        trials=tuple(entries),
        rows=tuple(
            row
            for protocol in study.protocols
            for topology in study.topologies
            for row in _rows(protocol, topology, _done(entries, protocol, topology))
        ),
        selection={
            protocol: _selection(study, protocol, entries)
            for protocol in study.protocols
            if any(entry.protocol == protocol for entry in entries)
        },
        cautions=tuple(_cautions(study, entries, rulings)),
    )


def _entry(study: Study, trial: Trial, outcome: TrialResult) -> TrialEntry:
    done, record = None, outcome.record
    if record is not None:
        target = reached(record.history, study.target_accuracy)
        done = Finished(record, outcome.taken, target, loss_variance(record.history))
    return TrialEntry(trial.name, trial.topology, trial.protocol, trial.seed, outcome.reason, done)


def _done(entries: Sequence[TrialEntry], protocol: str, topology: str) -> list[Finished]:
    its = [
        entry.done for entry in entries if (entry.protocol, entry.topology) == (protocol, topology)
    ]
    return [done for done in its if done is not None]


def _rows(protocol: str, topology: str, done: Sequence[Finished]) -> list[StageResult]:
    """A row for each stage, over the seeds that are done."""
    if not done:
        return []
    origins = {IMAGENET if its.record.imagenet else RANDOM for its in done}
    first = done[0].record
    return [
        StageResult(
            protocol=protocol,
            topology=topology,
            stage=stage,
            seeds=tuple(its.record.seed for its in done),
            parameters=first.parameters,
            size_bytes=first.size_bytes,
            initial_weights=MIXED if len(origins) > 1 else min(origins),
            target_epochs=tuple(its.target.epochs for its in done),
            target_batches=tuple(its.target.batches for its in done),
            training_s=mean(its.record.training_s for its in done),
            valid_loss_variance=_mean([its.variance[stage] for its in done]),
            variance_within_stages=_mean([its.variance["within_stages"] for its in done]),
            figures=_figures([its.record.figures[stage] for its in done]),
            decision=_decision(done) if stage == list(first.figures)[-1] else None,
        )
        for stage in (FROZEN, FINE_TUNED)
        if stage in first.figures
    ]


def _decision(done: Sequence[Finished]) -> SeedDecision | None:
    """By the checkpoints' thresholds, over the seeds; None if a checkpoint has none."""
    decisions = [its.record.decision for its in done if its.record.decision is not None]
    if len(decisions) < len(done):
        return None
    thresholds = tuple(decision.threshold for decision in decisions)
    return SeedDecision(thresholds, _figures([decision.figures for decision in decisions]))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _figures(found: Sequence[Mapping[str, Estimate]]) -> dict[str, SeedFigure]:
    """Those that every seed has."""
    names = [name for name in found[0] if all(name in figures for figures in found)]
    return {name: _over_seeds([figures[name] for figures in found]) for name in names}


def _over_seeds(figures: Sequence[Estimate]) -> SeedFigure:
    """One seed: its bootstrap interval. Several: the mean, and the range of the seeds."""
    if len(figures) == 1:
        (one,) = figures
        return SeedFigure(one.value, one.low, one.high, "bootstrap", None)
    known = [figure.value for figure in figures if figure.value is not None]
    if len(known) < len(figures):
        return SeedFigure(None, None, None, "seeds", None)
    return SeedFigure(mean(known), min(known), max(known), "seeds", stdev(known))


def _protocol(key: tuple[str, int], ruling: Ruling, fingerprint: str | None) -> ProtocolSplit:
    dataset = ruling.dataset
    return ProtocolSplit(
        *key,
        status="not run" if dataset is None else "done",
        reason=ruling.reason,
        images=None if dataset is None else dataset.counts(),
        split=None if dataset is None else dataset.split_rule,
        fingerprint=fingerprint,
        left_out=tuple(LeftOut(*group) for group in ruling.left_out),
        notes=ruling.notes,
    )


def _selection(study: Study, protocol: str, entries: Sequence[TrialEntry]) -> Choice | None:
    """The rule, applied to the topologies that have all their trials; None if none has."""
    candidates, left_out = [], {}
    for topology in study.topologies:
        done = _done(entries, protocol, topology)
        asked = [e for e in entries if (e.protocol, e.topology) == (protocol, topology)]
        if len(done) < len(asked):
            left_out[topology] = f"{len(asked) - len(done)} of {len(asked)} trials failed"
            continue
        candidates.append(
            Candidate(
                topology,
                tuple(its.variance["within_stages"] for its in done),
                tuple(its.target.batches for its in done),
                done[0].record.parameters,
            )
        )
    if not candidates:
        return None
    found = select(candidates)
    return Choice(found, tuple(explain(found)), left_out)


def _cautions(
    study: Study,
    entries: Sequence[TrialEntry],
    rulings: Mapping[tuple[str, int], Ruling],
) -> list[str]:
    """What a reader must know before trusting a difference."""
    done = [(entry, entry.done.record) for entry in entries if entry.done is not None]
    starts: dict[str, list[str]] = {}
    for entry, record in done:
        names = starts.setdefault(IMAGENET if record.imagenet else RANDOM, [])
        if entry.topology not in names:
            names.append(entry.topology)
    cautions = []
    if len(starts) == 2:
        cautions.append(
            f"Unlike starts: {', '.join(starts[IMAGENET])} from ImageNet weights, "
            f"{', '.join(starts[RANDOM])} from random weights. Differences between the two groups "
            "are those of the start as much as of the topology; with a network, --weights imagenet "
            "--again gives all of them the same start."
        )
    alike = [
        f"{entry.name} ({name})"
        for entry, record in done
        for name, figure in record.final.items()
        if figure.value == figure.low == figure.high and figure.value in (0, 1)
    ]
    if alike:
        cautions.append(
            f"An interval without width ({', '.join(alike)}) says only that all n images came out "
            "alike: a rate of up to 3/n of the other outcome fits that as well (rule of three, "
            "Hanley & Lippman-Hand, JAMA 1983)."
        )
    for protocol in study.protocols:
        notes = [
            note for (p, _), ruling in rulings.items() if p == protocol for note in ruling.notes
        ]
        cautions += [f"Protocol {protocol}: {note}." for note in dict.fromkeys(notes)]
    return cautions
