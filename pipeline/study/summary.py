"""A comparison as one document: every trial, the means over seeds, the rule's choice, the cautions.

In: the request, the protocols' rulings and what came of each trial. Out: a JSON-able dict of the
shape in ``study.schema.json``. Nothing is read from disk and nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Final

from pipeline.model_spec import INTENDED_USE
from pipeline.study.topology_ranking import METHOD, Candidate, Selection, explain, select
from pipeline.study.trial import FINE_TUNED, FROZEN, loss_variance, reached

if TYPE_CHECKING:
    from pipeline.study.protocols import Pool, Ruling
    from pipeline.study.request import Study
    from pipeline.study.trial import Trial

SCHEMA: Final = 1
IMAGENET: Final = "ImageNet"
RANDOM: Final = "random"
MIXED: Final = "ImageNet or random, by seed"
FIGURES_METHOD: Final = (
    "Figures are of the validation images, at the most probable class: a threshold chosen on the "
    "same images flatters, and has a table of its own. Intervals are 95 % bootstrap intervals, "
    "whole patients drawn where patients are known; over several seeds the mean is given with the "
    "range of the seeds. A split that the table brings is the same for every seed. The AUROC "
    "within a source is what is left of it where the source gives nothing away."
)


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: its ``trial.json``, or the reason why there is none.

    Attributes:
        taken: it was finished before this run.
    """

    document: Mapping[str, Any] | None
    reason: str = ""
    taken: bool = False

    @property
    def told(self) -> str:
        """One line for the terminal."""
        if self.document is None:
            return f"FAILED: {self.reason}"
        stages = list(self.document["figures"])
        figures = self.document["figures"][FINE_TUNED if FINE_TUNED in stages else FROZEN]
        told = ", ".join(
            f"{name} {figures[name]['value']:.3f}"
            for name in ("accuracy", "recall", "auroc")
            if figures[name]["value"] is not None
        )
        return f"{told}; {self.document['training_s']:.0f} s"


def summarise(
    study: Study,
    pool: Pool,
    rulings: Mapping[tuple[str, int], Ruling],
    trials: Sequence[Trial],
    outcomes: Mapping[str, Outcome],
) -> dict[str, Any]:
    """The whole comparison; see ``study.schema.json``."""
    fingerprints = {(trial.protocol, trial.seed): trial.fingerprint for trial in trials}
    entries = [_entry(study, trial, outcomes[trial.name]) for trial in trials]
    rows = [
        row
        for protocol in study.protocols
        for topology in study.topologies
        for row in _rows(protocol, topology, _done(entries, protocol, topology))
    ]
    return {
        "schema": SCHEMA,
        "intended_use": INTENDED_USE,
        "name": study.name or pool.dataset.name,
        "data": {
            "name": pool.dataset.name,
            "place": pool.place,
            "labels": list(pool.dataset.labels),
            "positive": pool.positive,
            "images": len(pool.samples),
        },
        "request": {
            "topologies": list(study.topologies),
            "protocols": list(study.protocols),
            "seeds": list(study.seeds),
            "target_accuracy": study.target_accuracy,
            "exclude": list(study.exclude),
            "engine": asdict(study.engine),
            "config": {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in asdict(study.config).items()
                if key not in ("architecture", "seed")
            },
        },
        "protocols": [
            _protocol(key, ruling, fingerprints.get(key)) for key, ruling in rulings.items()
        ],
        "trials": entries,
        "rows": rows,
        "selection": {
            protocol: _selection(study, protocol, entries)
            for protocol in study.protocols
            if any(entry["protocol"] == protocol for entry in entries)
        },
        "cautions": _cautions(study, entries, rulings),
        "methods": {"figures": FIGURES_METHOD, "selection": METHOD},
    }


def failed(document: Mapping[str, Any]) -> list[str]:
    """The names of the trials that failed."""
    return [entry["name"] for entry in document["trials"] if entry["status"] == "failed"]


def _entry(study: Study, trial: Trial, outcome: Outcome) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": trial.name,
        "topology": trial.topology,
        "protocol": trial.protocol,
        "seed": trial.seed,
        "status": "failed" if outcome.document is None else "done",
        "reason": outcome.reason,
    }
    if outcome.document is None:
        return entry
    kept = (
        "checkpoint_sha256", "initial_weights", "imagenet", "parameters", "size_bytes", "images",
        "threads", "device", "batches_per_epoch", "stage_s", "training_s", "total_s", "history",
        "figures", "tools",
    )  # fmt: skip
    entry |= {name: outcome.document[name] for name in kept}
    entry["decision"] = outcome.document.get("decision")  # trials of old have none
    history = outcome.document["history"]
    return entry | {
        "taken": outcome.taken,
        "target": reached(history, study.target_accuracy),  # may be another than it was trained for
        "valid_loss_variance": loss_variance(history),
    }


def _done(entries: Sequence[dict[str, Any]], protocol: str, topology: str) -> list[dict[str, Any]]:
    return [
        entry
        for entry in entries
        if (entry["protocol"], entry["topology"], entry["status"]) == (protocol, topology, "done")
    ]


def _rows(protocol: str, topology: str, done: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each stage, over the seeds that are done."""
    if not done:
        return []
    origins = {IMAGENET if entry["imagenet"] else RANDOM for entry in done}
    shared = {
        "protocol": protocol,
        "topology": topology,
        "seeds": [entry["seed"] for entry in done],
        "parameters": done[0]["parameters"],
        "size_bytes": done[0]["size_bytes"],
        "initial_weights": MIXED if len(origins) > 1 else origins.pop(),
        "target_epochs": [entry["target"]["epochs"] for entry in done],
        "target_batches": [entry["target"]["batches"] for entry in done],
        "training_s": mean(entry["training_s"] for entry in done),
    }
    return [
        {
            **shared,
            "stage": stage,
            "valid_loss_variance": _mean([e["valid_loss_variance"][stage] for e in done]),
            "variance_within_stages": _mean(
                [e["valid_loss_variance"]["within_stages"] for e in done]
            ),
            "figures": {
                name: _over_seeds([entry["figures"][stage][name] for entry in done])
                for name in done[0]["figures"][stage]
                if all(name in entry["figures"][stage] for entry in done)
            },
            "decision": _decision(done) if stage == list(done[0]["figures"])[-1] else None,
        }
        for stage in (FROZEN, FINE_TUNED)
        if stage in done[0]["figures"]
    ]


def _decision(done: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """By the thresholds that the checkpoints carry, over the seeds; None if one carries none."""
    decisions = [entry["decision"] for entry in done if entry["decision"] is not None]
    if len(decisions) < len(done):
        return None
    return {
        "thresholds": [decision["threshold"] for decision in decisions],
        "figures": {
            name: _over_seeds([decision["figures"][name] for decision in decisions])
            for name in decisions[0]["figures"]
            if all(name in decision["figures"] for decision in decisions)
        },
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _over_seeds(figures: Sequence[Mapping[str, float | None]]) -> dict[str, Any]:
    """One seed: its bootstrap interval. Several: the mean, and the range of the seeds."""
    if len(figures) == 1:
        return {**figures[0], "spread": "bootstrap", "sd": None}
    values = [figure["value"] for figure in figures]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {"value": None, "low": None, "high": None, "spread": "seeds", "sd": None}
    return {
        "value": mean(known),
        "low": min(known),
        "high": max(known),
        "spread": "seeds",
        "sd": stdev(known),
    }


def _protocol(key: tuple[str, int], ruling: Ruling, fingerprint: str | None) -> dict[str, Any]:
    protocol, seed = key
    dataset = ruling.dataset
    return {
        "protocol": protocol,
        "seed": seed,
        "status": "not run" if dataset is None else "done",
        "reason": ruling.reason,
        "images": None if dataset is None else dataset.counts(),
        "split": None if dataset is None else dataset.split_rule,
        "fingerprint": fingerprint,
        "left_out": [
            {"label": label, "source": source, "images": count}
            for label, source, count in ruling.left_out
        ],
        "notes": list(ruling.notes),
    }


def _selection(
    study: Study, protocol: str, entries: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """The rule among the topologies that have all their trials; null where none has."""
    candidates, left_out = [], {}
    for topology in study.topologies:
        done = _done(entries, protocol, topology)
        asked = [e for e in entries if (e["protocol"], e["topology"]) == (protocol, topology)]
        if len(done) < len(asked):
            left_out[topology] = f"{len(asked) - len(done)} of {len(asked)} trials failed"
            continue
        candidates.append(
            Candidate(
                topology,
                tuple(entry["valid_loss_variance"]["within_stages"] for entry in done),
                tuple(entry["target"]["batches"] for entry in done),
                done[0]["parameters"],
            )
        )
    if not candidates:
        return None
    found = select(candidates)
    return {**_plain(found), "explanation": explain(found), "left_out": left_out}


def _plain(selection: Selection) -> dict[str, Any]:
    return {
        "chosen": list(selection.chosen),
        "sums": dict(selection.sums),
        "without": {name: list(chosen) for name, chosen in selection.without.items()},
        "criteria": [asdict(criterion) for criterion in selection.criteria],
    }


def _cautions(
    study: Study,
    entries: Sequence[dict[str, Any]],
    rulings: Mapping[tuple[str, int], Ruling],
) -> list[str]:
    """What a reader must know before he believes a difference."""
    done = [entry for entry in entries if entry["status"] == "done"]
    starts: dict[str, list[str]] = {}
    for entry in done:
        names = starts.setdefault(IMAGENET if entry["imagenet"] else RANDOM, [])
        if entry["topology"] not in names:
            names.append(entry["topology"])
    cautions = []
    if len(starts) == 2:
        cautions.append(
            f"Unlike starts: {', '.join(starts[IMAGENET])} from ImageNet weights, "
            f"{', '.join(starts[RANDOM])} from random weights. Differences between the two groups "
            "are those of the start as much as of the topology; with a network, --weights imagenet "
            "--again gives all of them the same start."
        )
    alike = [
        f"{entry['name']} ({name})"
        for entry in done
        for name, figure in _final(entry).items()
        if figure["value"] == figure["low"] == figure["high"] and figure["value"] in (0, 1)
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


def _final(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    figures = entry["figures"]
    found: Mapping[str, Any] = figures[FINE_TUNED if FINE_TUNED in figures else FROZEN]
    return found
