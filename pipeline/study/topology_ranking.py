"""The paper's rule for choosing a topology, as a pure function of measured figures.

The paper prefers the topology with the least variance during training, the fewest batches until
the accuracy is 1.0, and the fewest parameters (Pereira Espasandin et al., MOL2NET). It gives no
weights, so here each criterion ranks the topologies, ranks are added, and the lowest sum is chosen.

In: `Candidate` per topology, all of one protocol. Out: `Selection`, with what every criterion did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Final

CRITERIA: Final = {
    "variance": "variance of the validation loss",
    "batches": "batches to the target accuracy",
    "parameters": "parameters",
}
METHOD: Final = (
    "Each criterion ranks the topologies, 1 is best; equal values share the better rank, and the "
    "next rank is left free. Never reaching the target comes after every topology that reaches it; "
    "over several seeds, fewer seeds without it come first, then the mean of the batches. The "
    "lowest sum of ranks is chosen, of equal sums the one with fewest parameters. The variance is "
    "that of the validation loss within the stages (the step between them is no unrest)."
)


@dataclass(frozen=True)
class Candidate:
    """What the rule needs to know about a topology.

    Attributes:
        variance: of the validation loss within the stages, one number per seed; None: one epoch.
        batches: to the target accuracy, one number per seed; None: never reached.
        parameters: of the network.
    """

    topology: str
    variance: tuple[float | None, ...]
    batches: tuple[int | None, ...]
    parameters: int


@dataclass(frozen=True)
class Criterion:
    """The result of one criterion.

    Attributes:
        name: a key of `CRITERIA`.
        values: the figure of each topology, in words.
        ranks: of each topology from 1; empty where the criterion cannot be used.
        note: why it cannot be used, or that it distinguishes none; otherwise empty.
    """

    name: str
    values: Mapping[str, str]
    ranks: Mapping[str, int]
    note: str = ""


@dataclass(frozen=True)
class Selection:
    """Which topology the rule chooses, and how firmly.

    Attributes:
        criteria: all three.
        sums: of ranks, for each topology.
        chosen: one topology; several if the rule cannot separate them.
        without: the choice without a criterion, by its name.
    """

    criteria: tuple[Criterion, ...]
    sums: Mapping[str, int]
    chosen: tuple[str, ...]
    without: Mapping[str, tuple[str, ...]]


def select(candidates: Sequence[Candidate]) -> Selection:
    """Apply the rule to `candidates`, at least one, all with the same seeds."""
    criteria = (_variance(candidates), _batches(candidates), _parameters(candidates))
    sums, chosen = _choose(candidates, criteria)
    without = {
        left.name: _choose(candidates, [c for c in criteria if c is not left])[1]
        for left in criteria
    }
    return Selection(criteria, sums, chosen, without)


def explain(selection: Selection) -> list[str]:
    """Sentences with the numbers: each criterion, the choice, the choice without it."""
    if len(selection.sums) == 1:
        return [f"Only {selection.chosen[0]} was compared: there is nothing to choose."]
    lines = []
    for criterion in selection.criteria:
        values = criterion.values
        if criterion.ranks:
            order = sorted(values, key=lambda topology: criterion.ranks[topology])
            told = ", ".join(f"{criterion.ranks[t]}. {t} ({values[t]})" for t in order)
        else:
            told = "not used"
        note = f"; {criterion.note}" if criterion.note else ""
        lines.append(f"{CRITERIA[criterion.name].capitalize()}: {told}{note}.")
    sums = sorted(selection.sums.items(), key=lambda item: item[1])
    lines.append("Sum of ranks: " + ", ".join(f"{t} {total}" for t, total in sums) + ".")
    lowest = min(selection.sums.values())
    tied = [topology for topology, total in sums if total == lowest]
    parted = f" ({_and(tied)} have the same sum)" if len(tied) > len(selection.chosen) else ""
    verb = "chooses" if len(selection.chosen) == 1 else "cannot part"
    lines.append(f"The rule {verb} {_and(selection.chosen)}{parted}.")
    for name, chosen in selection.without.items():
        if len(chosen) > 1:
            lines.append(f"Without {CRITERIA[name]}: it could not part {_and(chosen)}.")
        else:
            change = "still" if chosen == selection.chosen else "it would be"
            lines.append(f"Without {CRITERIA[name]}: {change} {_and(chosen)}.")
    return lines


def _variance(candidates: Sequence[Candidate]) -> Criterion:
    name = "variance"
    known = {c.topology: [v for v in c.variance if v is not None] for c in candidates}
    if any(len(known[c.topology]) < len(c.variance) for c in candidates):
        values = {c.topology: "not measurable" for c in candidates}
        return Criterion(name, values, {}, "a stage needs two epochs to have a variance")
    means = {topology: mean(values) for topology, values in known.items()}
    return _ranked(name, means, lambda topology: f"{means[topology]:.3g}")


def _batches(candidates: Sequence[Candidate]) -> Criterion:
    keys, words = {}, {}
    for c in candidates:
        reached = [number for number in c.batches if number is not None]
        missing = len(c.batches) - len(reached)
        keys[c.topology] = (missing, mean(reached) if reached else 0.0)
        words[c.topology] = f"{mean(reached):,.0f}" if reached else "not reached"
        if reached and missing:
            words[c.topology] += f", not reached by {missing} of {len(c.batches)} seeds"
    found = _ranked("batches", keys, lambda topology: words[topology])
    if any(number is not None for c in candidates for number in c.batches):
        return found
    return Criterion(
        found.name, found.values, found.ranks, "no topology reached it: it distinguishes none"
    )


def _parameters(candidates: Sequence[Candidate]) -> Criterion:
    numbers = {c.topology: c.parameters for c in candidates}
    return _ranked("parameters", numbers, lambda topology: f"{numbers[topology]:,}")


def _ranked(name: str, keys: Mapping[str, Any], word: Callable[[str], str]) -> Criterion:
    ranks = {t: 1 + sum(other < key for other in keys.values()) for t, key in keys.items()}
    return Criterion(name, {topology: word(topology) for topology in keys}, ranks)


def _choose(
    candidates: Sequence[Candidate], criteria: Sequence[Criterion]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Sums of ranks, and the topologies with the lowest; parameters, if used, break ties."""
    used = [criterion for criterion in criteria if criterion.ranks]
    sums = {c.topology: sum(criterion.ranks[c.topology] for criterion in used) for c in candidates}
    best = [c for c in candidates if sums[c.topology] == min(sums.values())]
    if any(criterion.name == "parameters" for criterion in used):
        best = [c for c in best if c.parameters == min(c.parameters for c in best)]
    return sums, tuple(c.topology for c in best)


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
