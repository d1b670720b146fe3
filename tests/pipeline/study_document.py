"""A comparison by hand: outcomes as trials leave them, without any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.config import TrainConfig
from pipeline.data.dataset import Dataset, Sample
from pipeline.study.documents import (
    AccuracyTarget,
    Decision,
    Estimate,
    StudyComparison,
    TrialEpoch,
    TrialRecord,
)
from pipeline.study.protocols import Ruling, make_pool
from pipeline.study.request import Study
from pipeline.study.summary import TrialResult, summarise
from pipeline.study.trial import Trial

LABELS = ("ill", "well")
CONFIG = TrainConfig(frozen_epochs=1, finetune_epochs=2, batch_size=10)


def dataset() -> Dataset:
    """12 training and 8 validation images of two labels; the negatives are of two sources."""

    def side(split: str, count: int) -> tuple[Sample, ...]:
        return tuple(
            Sample(Path(f"{split}-{i}.jpg"), f"{split}-{i}.jpg", label, f"{split}{i}", source)
            for i, (label, source) in enumerate(
                [("ill", "north"), ("well", "north"), ("well", "south"), ("ill", "north")]
                * (count // 4)
            )
        )

    return Dataset("xrays", LABELS, side("train", 12), side("valid", 8), "by table")


def trial(topology: str, protocol: str, seed: int, place: Path = Path("/nowhere")) -> Trial:
    name = f"{topology}-{protocol}-seed{seed}"
    return Trial(
        topology, protocol, seed, CONFIG, 1, dataset(), "0" * 64, "ill", "model", "0.0.0", 1.0,
        place / name, place / f".{name}",
    )  # fmt: skip


def outcome(
    accuracies: tuple[float, float, float] = (0.7, 0.9, 0.8),
    *,
    imagenet: bool = True,
    parameters: int = 1_000,
    figures: dict[str, tuple[float | None, float | None, float | None]] | None = None,
    decision: Decision | None = None,
) -> TrialResult:
    """What a trial left: a frozen epoch and two fine-tuned ones."""
    named = figures or dict.fromkeys(
        ("accuracy", "recall", "specificity", "auroc"), (0.8, 0.7, 0.9)
    )
    its = {name: Estimate(*values) for name, values in named.items()}
    history = tuple(
        TrialEpoch(stage, 2 * number, 1.0 / number, 1.2 / number, accuracy, accuracy, accuracy)
        for number, (stage, accuracy) in enumerate(
            zip(("frozen", "fine-tuned", "fine-tuned"), accuracies, strict=True), start=1
        )
    )
    return TrialResult(
        TrialRecord(
            schema=1,
            name="by hand",
            topology="",
            protocol="",
            seed=0,
            request={},
            checkpoint_sha256="a" * 64,
            initial_weights="ImageNet, by hand" if imagenet else "random, as asked for",
            imagenet=imagenet,
            parameters=parameters,
            size_bytes=4 * parameters,
            images=dataset().counts(),
            split="by table",
            threads=1,
            device="cpu",
            batch_size=10,
            batches_per_epoch=2,
            stage_s={"frozen": 1.0, "fine-tuned": 2.0},
            training_s=3.0,
            total_s=4.0,
            history=history,
            target=AccuracyTarget(1.0, None, None),
            valid_loss_variance={},
            figures={"frozen": its, "fine-tuned": its},
            tools={"torch": "2"},
            intended_use="",
            files={},
            decision=decision,
        )
    )


def _of_trial(its: TrialResult, topology: str, protocol: str, seed: int) -> TrialResult:
    if its.record is None:
        return its
    record = replace(its.record, topology=topology, protocol=protocol, seed=seed)
    return replace(its, record=record)


def summary(
    outcomes: dict[tuple[str, str, int], TrialResult], **rulings: Ruling
) -> StudyComparison:
    """The comparison of hand-made outcomes, by (topology, protocol, seed)."""
    topologies, protocols, seeds = (
        tuple(dict.fromkeys(key[part] for key in outcomes)) for part in (0, 1, 2)
    )
    study = Study(("squeezenet1_1",), (*protocols, *rulings), seeds, CONFIG, positive="ill")
    object.__setattr__(study, "topologies", topologies)  # names that no network has
    trials = [trial(*key) for key in outcomes]
    ruled = {(protocol, seed): Ruling(dataset()) for protocol in protocols for seed in seeds}
    ruled |= {(protocol, seed): ruling for protocol, ruling in rulings.items() for seed in seeds}
    named = {trial(*key).name: _of_trial(its, *key) for key, its in outcomes.items()}
    return summarise(study, make_pool(dataset(), "ill", "xrays.csv"), ruled, trials, named)
