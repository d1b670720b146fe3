"""What a trial and a comparison say: the contents of ``trial.json`` and ``comparison.json``.

Figures that could not be computed are None, since JSON has no NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from pipeline.json_files import JsonObject, plain
from pipeline.study.topology_ranking import METHOD, Selection

if TYPE_CHECKING:
    from pipeline.study.request import Study

COMPARISON_SCHEMA: Final = 1
FROZEN: Final = "frozen"
FINE_TUNED: Final = "fine-tuned"
FIGURES_METHOD: Final = (
    "Figures are of the validation images, at the most probable class: a threshold chosen on the "
    "same images flatters, and has a table of its own. Intervals are 95 % bootstrap intervals, "
    "images that belong together drawn together where that is known; over several seeds the mean "
    "is given with the range of the seeds. A split that the table brings is the same for every "
    "seed. The AUROC "
    "within a source is what is left of it where the source gives nothing away."
)
# Of a trial's record, what the comparison repeats.
KEPT: Final = (
    "checkpoint_sha256", "initial_weights", "imagenet", "parameters", "size_bytes", "images",
    "threads", "device", "batches_per_epoch", "stage_s", "training_s", "total_s", "history",
    "figures", "decision", "tools",
)  # fmt: skip

Counts = Mapping[str, Mapping[str, int]]  # images by split and label


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SeedFigure:
    """A figure over seeds: for one its bootstrap interval, for several their mean and range.

    Attributes:
        spread: ``bootstrap`` or ``seeds``: what `low` and `high` are of.
        sd: standard deviation over several seeds.
    """

    value: float | None
    low: float | None
    high: float | None
    spread: str
    sd: float | None


@dataclass(frozen=True)
class TrialEpoch:
    """An epoch of a trial; `batches` counts those learned from by its end, over both stages."""

    stage: str
    batches: int
    train_loss: float | None
    valid_loss: float
    accuracy: float
    recall: float | None
    auroc: float | None


@dataclass(frozen=True)
class AccuracyTarget:
    """When the validation accuracy was first `accuracy` or more; None: never."""

    accuracy: float
    epochs: int | None
    batches: int | None


@dataclass(frozen=True)
class Decision:
    """Figures by the threshold that the checkpoint carries."""

    threshold: float
    figures: Mapping[str, Estimate]


@dataclass(frozen=True)
class TrialRecord:
    """The record of a finished trial.

    Attributes:
        request: all that decides its weights (`pipeline.study.trial.request_of`).
        stage_s, training_s, total_s: seconds.
        figures: by stage and name, at the most probable class.
        decision: None where the checkpoint has no threshold, or the trial is an old one.
        files: SHA-256 by name, of every other file in its folder.
    """

    schema: int
    name: str
    topology: str
    protocol: str
    seed: int
    request: Mapping[str, object]
    checkpoint_sha256: str
    initial_weights: str
    imagenet: bool
    parameters: int
    size_bytes: int
    images: Counts
    split: str
    threads: int
    device: str
    batch_size: int
    batches_per_epoch: int
    stage_s: Mapping[str, float]
    training_s: float
    total_s: float
    history: tuple[TrialEpoch, ...]
    target: AccuracyTarget
    valid_loss_variance: Mapping[str, float | None]
    figures: Mapping[str, Mapping[str, Estimate]]
    tools: Mapping[str, str]
    intended_use: str
    files: Mapping[str, str]
    decision: Decision | None = None

    @property
    def final(self) -> Mapping[str, Estimate]:
        """The figures after the last stage."""
        return self.figures[FINE_TUNED if FINE_TUNED in self.figures else FROZEN]


@dataclass(frozen=True)
class Finished:
    """A finished trial in a comparison.

    Attributes:
        record: what it left.
        taken: it was finished before this run.
        target: the comparison's, which may differ from the one it was trained for.
        variance: of the validation loss, by stage and ``within_stages``.
    """

    record: TrialRecord
    taken: bool
    target: AccuracyTarget
    variance: Mapping[str, float | None]


@dataclass(frozen=True)
class TrialEntry:
    """A trial in a comparison; if it is not done, it failed for `reason`."""

    name: str
    topology: str
    protocol: str
    seed: int
    reason: str
    done: Finished | None

    @property
    def status(self) -> str:
        """``done`` or ``failed``."""
        return "failed" if self.done is None else "done"


@dataclass(frozen=True)
class SeedDecision:
    """Figures by the thresholds that the checkpoints carry, over the seeds."""

    thresholds: tuple[float, ...]
    figures: Mapping[str, SeedFigure]


@dataclass(frozen=True)
class StageResult:
    """A topology under a protocol after a stage, over the seeds that are done.

    Attributes:
        target_epochs, target_batches: one number per seed; None: never reached.
        valid_loss_variance, variance_within_stages: None: one epoch only.
    """

    protocol: str
    topology: str
    stage: str
    seeds: tuple[int, ...]
    parameters: int
    size_bytes: int
    initial_weights: str
    target_epochs: tuple[int | None, ...]
    target_batches: tuple[int | None, ...]
    training_s: float
    valid_loss_variance: float | None
    variance_within_stages: float | None
    figures: Mapping[str, SeedFigure]
    decision: SeedDecision | None


@dataclass(frozen=True)
class LeftOut:
    """Images that a protocol leaves out."""

    label: str
    source: str
    images: int


@dataclass(frozen=True)
class ProtocolSplit:
    """How a protocol and a seed split the images; `reason`: why they did not."""

    protocol: str
    seed: int
    status: str
    reason: str
    images: Counts | None
    split: str | None
    fingerprint: str | None
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What the paper's rule says, in figures and in words.

    Attributes:
        left_out: why a topology is not ranked, by its name.
    """

    selection: Selection
    explanation: tuple[str, ...]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Images:
    """The images that are compared on; `place` is where they were read."""

    name: str
    place: str
    labels: tuple[str, ...]
    positive: str | None
    images: int


@dataclass(frozen=True)
class StudyComparison:
    """The whole comparison.

    Attributes:
        selection: by protocol; None where no topology has all its trials.
        cautions: what a reader must know before trusting a difference.
    """

    name: str
    data: Images
    request: Study
    protocols: tuple[ProtocolSplit, ...]
    trials: tuple[TrialEntry, ...]
    rows: tuple[StageResult, ...]
    selection: Mapping[str, Choice | None]
    cautions: tuple[str, ...]

    @property
    def failed(self) -> list[TrialEntry]:
        """The trials that failed."""
        return [entry for entry in self.trials if entry.done is None]


def comparison_document(comparison: StudyComparison) -> JsonObject:
    """The contents of ``comparison.json``, of the shape in ``study.schema.json``."""
    request = comparison.request
    config = plain(request.config)
    return {
        "schema": COMPARISON_SCHEMA,
        "intended_use": request.said.intended_use,
        "name": comparison.name,
        "data": plain(comparison.data),
        "request": {
            "topologies": list(request.topologies),
            "protocols": list(request.protocols),
            "seeds": list(request.seeds),
            "target_accuracy": request.target_accuracy,
            "exclude": list(request.exclude),
            "engine": asdict(request.engine),
            "config": {k: v for k, v in config.items() if k not in ("architecture", "seed")},
        },
        "protocols": [plain(split) for split in comparison.protocols],
        "trials": [_entry(entry) for entry in comparison.trials],
        "rows": [plain(row) for row in comparison.rows],
        "selection": {
            protocol: None if choice is None else _choice(choice)
            for protocol, choice in comparison.selection.items()
        },
        "cautions": list(comparison.cautions),
        "methods": {"figures": FIGURES_METHOD, "selection": METHOD},
    }


def _entry(entry: TrialEntry) -> JsonObject:
    head = {
        "name": entry.name,
        "topology": entry.topology,
        "protocol": entry.protocol,
        "seed": entry.seed,
        "status": entry.status,
        "reason": entry.reason,
    }
    if entry.done is None:
        return head
    record = plain(entry.done.record)
    return {
        **head,
        **{name: record[name] for name in KEPT},
        "taken": entry.done.taken,
        "target": plain(entry.done.target),
        "valid_loss_variance": dict(entry.done.variance),
    }


def _choice(choice: Choice) -> JsonObject:
    said = {"explanation": list(choice.explanation), "left_out": dict(choice.left_out)}
    return {**plain(choice.selection), **said}
