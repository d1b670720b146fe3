"""One trial of a comparison: a topology, a protocol and a seed, trained into a checkpoint folder.

In: `Trial`. Out: the folder, whole: everything that `pipeline.training.train` leaves, and

``frozen_predictions.csv``  the network's outputs before its body was unfrozen
``trial.json``              the request, times, every epoch, figures after each stage, and the hash
                            of every other file

A finished trial is kept only if it is what would be trained now: `why_again`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.architecture_names import identifier
from pipeline.atomic_files import staged_folder, write_text
from pipeline.checkpoint import owner_document
from pipeline.config import RECIPE_VERSION
from pipeline.data.owners_words import Said
from pipeline.errors import BadInput, UserError
from pipeline.file_hash import file_sha256
from pipeline.json_files import JsonObject, finite, plain, read_json, structure, write_json
from pipeline.study.documents import (
    FROZEN,
    AccuracyTarget,
    Decision,
    Estimate,
    TrialEpoch,
    TrialRecord,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config import TrainConfig
    from pipeline.data.dataset import Dataset
    from pipeline.training.callbacks import StageWatch

SCHEMA: Final = 1
TRIAL_FILE: Final = "trial.json"
FROZEN_FILE: Final = "frozen_predictions.csv"
FINAL_FILE: Final = "predictions.csv"
WAY_OUT: Final = "train it again"
# What decides a network's weights besides recipe and images: other versions, another training.
DECIDING_TOOLS: Final = ("torch", "torchvision", "fastai", "numpy", "pillow")
TELL_EVERY_S: Final = 0.5


@dataclass(frozen=True)
class Trial:
    """What to train, and where to leave it.

    Attributes:
        topology, protocol, seed: what distinguishes it from the others.
        config: the whole recipe; topology and seed are in it too.
        threads: CPU threads to use; `config.threads` stays as requested.
        dataset: split by the protocol.
        fingerprint: of `dataset`.
        positive: the label that recall refers to.
        model, model_version: go into the checkpoint.
        target_accuracy: on the validation images.
        folder: absolute, replaced when the trial is finished.
        progress: absolute, a small file that says how far the trial is.
        said: the owner's words for the checkpoint.
    """

    topology: str
    protocol: str
    seed: int
    config: TrainConfig
    threads: int
    dataset: Dataset
    fingerprint: str
    positive: str | None
    model: str
    model_version: str
    target_accuracy: float
    folder: Path
    progress: Path
    said: Said = field(default_factory=Said)

    @property
    def name(self) -> str:
        """Such as ``squeezenet1_1-strict-seed2``; also the name of its folder."""
        return f"{identifier(self.topology)}-{self.protocol}-seed{self.seed}"

    @property
    def batches(self) -> int:
        """How many it learns from, both stages together."""
        an_epoch = -(-len(self.dataset.train) // self.config.batch_size)
        return an_epoch * (self.config.frozen_epochs + self.config.finetune_epochs)


@dataclass(frozen=True)
class Failure:
    """Why a trial has no figures; `details` is a traceback where the fault is not the user's."""

    reason: str
    details: str = ""


def run_trial(trial: Trial) -> Failure | None:
    """Train and measure; None is success. The caller may be in another process.

    A failure is a result, not an exception: the other trials go on.
    """
    said = io.StringIO()  # fastai's tables and torchvision's download bars would write over ours
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            _train(trial)
    except UserError as error:
        return Failure(str(error))
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return Failure(reason, f"{traceback.format_exc()}\nlast output:\n{said.getvalue()[-2000:]}")
    finally:
        trial.progress.unlink(missing_ok=True)
    return None


def request_of(trial: Trial) -> JsonObject:
    """All that decides the trial's weights, as JSON; equal requests are the same trial."""
    config = plain(trial.config)
    if config["resize"] == "squish":  # trials from before there was another do not name it
        del config["resize"]
    return {
        "config": config,
        "protocol": trial.protocol,
        "data": trial.fingerprint,
        "labels": list(trial.dataset.labels),
        "positive": trial.positive,
        "model": trial.model,
        "model_version": trial.model_version,
        "tools": {tool: version(tool) for tool in DECIDING_TOOLS},
        "recipe_version": RECIPE_VERSION,
        **({} if trial.said == Said() else {"words": _words(trial.said)}),
    }


def _words(said: Said) -> JsonObject:
    """What the checkpoint repeats; no weight depends on it, but the checkpoint's identity does."""
    return {"intended_use": said.intended_use, **owner_document(said.owner)}


def why_again(trial: Trial) -> str:
    """Why a finished trial in `trial.folder` cannot be kept; empty: it can.

    "not there" is also a reason.
    """
    if not trial.folder.exists():
        return "not trained yet"
    try:
        record = read_trial(trial.folder)
        for name, digest in record.files.items():
            if file_sha256(trial.folder / name) != digest:
                return f"{name} is not as the trial left it"
    except (BadInput, OSError) as error:
        return f"what is there is incomplete ({error})"
    return _difference(record.request, request_of(trial))


def read_trial(folder: Path) -> TrialRecord:
    """The record of a trial in its ``trial.json``.

    Raises:
        BadInput: it is missing, no JSON, of another schema, or damaged.
    """
    path = folder / TRIAL_FILE
    document = read_json(path, what="trial", way_out=WAY_OUT, versions=(SCHEMA,))
    return structure(document, TrialRecord, str(path), WAY_OUT)


def read_predictions(path: Path) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float64]]:
    """A predictions table: K labels, classes (N,) and probabilities (N, K)."""
    with path.open(newline="", encoding="utf-8") as lines:
        header, *rows = list(csv.reader(lines))
    labels = tuple(header[2:])
    truth = np.array([labels.index(row[1]) for row in rows], dtype=np.int64)
    return labels, truth, np.array([row[2:] for row in rows], dtype=np.float64)


def _train(trial: Trial) -> None:
    import torch

    from pipeline.training.callbacks import StageWatch
    from pipeline.training.train import train_on

    config = replace(trial.config, threads=trial.threads)
    watch = StageWatch(_teller(trial))
    start = perf_counter()
    before = torch.get_num_threads()
    try:
        with staged_folder(trial.folder) as staging:
            train_on(
                trial.dataset,
                config,
                staging,
                name=trial.model,
                model_version=trial.model_version,
                positive=trial.positive,
                callbacks=[watch],
                said=trial.said,
            )
            _measure(trial, watch, staging, start)
    finally:
        torch.set_num_threads(before)  # the process may be the user's own


def _teller(trial: Trial) -> Callable[[int], None]:
    """Writes to the trial's progress file, now and then, how many batches are done."""
    last = monotonic()

    def tell(done: int) -> None:
        nonlocal last
        if monotonic() - last >= TELL_EVERY_S:
            last = monotonic()
            write_text(trial.progress, str(done))

    write_text(trial.progress, "0")
    return tell


def _measure(trial: Trial, watch: StageWatch, folder: Path, start: float) -> None:
    """Add to a checkpoint folder what makes it a trial."""
    from pipeline.checkpoint import WEIGHTS_FILE, open_checkpoint

    checkpoint = open_checkpoint(folder)
    spec = checkpoint.spec
    history = _history(folder, watch.batches_after)
    stages = list(dict.fromkeys(epoch.stage for epoch in history))
    labels, truth, final = read_predictions(folder / FINAL_FILE)
    probs = {
        stages[-1]: final
    }  # the checkpoint's own outputs, whatever was done after the last epoch
    if len(stages) == 2:
        probs[FROZEN] = watch.stage_probs[0].astype(np.float64)
        _write_predictions(folder / FROZEN_FILE, trial.dataset, labels, probs[FROZEN])
    origin = str(spec.training["initial_weights"])
    record = TrialRecord(
        schema=SCHEMA,
        name=trial.name,
        topology=trial.topology,
        protocol=trial.protocol,
        seed=trial.seed,
        request=request_of(trial),
        checkpoint_sha256=checkpoint.sha256,
        initial_weights=origin,
        imagenet=origin.startswith("ImageNet"),
        parameters=_parameters(trial.topology, len(labels)),
        size_bytes=(folder / WEIGHTS_FILE).stat().st_size,
        images=trial.dataset.counts(),
        split=trial.dataset.split_rule,
        threads=trial.threads,
        device=watch.device_name,
        batch_size=trial.config.batch_size,
        batches_per_epoch=watch.batches_after[0],
        stage_s=dict(zip(stages, watch.stage_s, strict=True)),
        training_s=sum(watch.stage_s),
        total_s=perf_counter() - start,
        history=history,
        target=reached(history, trial.target_accuracy),
        valid_loss_variance=loss_variance(history),
        figures={stage: _figures(trial, truth, probs[stage], labels) for stage in stages},
        tools=spec.tools,
        intended_use=spec.intended_use,
        files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
        decision=None
        if spec.threshold is None
        else Decision(spec.threshold, _figures(trial, truth, final, labels, spec.threshold)),
    )
    write_json(folder / TRIAL_FILE, finite(plain(record)))


def reached(history: Sequence[TrialEpoch], target: float) -> AccuracyTarget:
    """The first epoch (from 1, both stages) whose validation accuracy is `target` or more."""
    for number, epoch in enumerate(history, start=1):
        if epoch.accuracy >= target:
            return AccuracyTarget(target, number, epoch.batches)
    return AccuracyTarget(target, None, None)


def loss_variance(history: Sequence[TrialEpoch]) -> dict[str, float | None]:
    """Population variance of the validation loss over the epochs of each stage, and pooled.

    ``within_stages`` is the mean of the squared distances of all epochs from the mean of their own
    stage: the step from one stage to the next is not counted. A stage of one epoch has no variance;
    if no stage has more, there is none at all.
    """
    stages: dict[str, list[float]] = {}
    for epoch in history:
        stages.setdefault(epoch.stage, []).append(epoch.valid_loss)
    longer = {stage: losses for stage, losses in stages.items() if len(losses) > 1}
    found: dict[str, float | None] = {
        stage: float(np.var(losses)) if stage in longer else None
        for stage, losses in stages.items()
    }
    squares = sum(float(np.var(losses)) * len(losses) for losses in longer.values())
    epochs = sum(len(losses) for losses in longer.values())
    return {**found, "within_stages": squares / epochs if epochs else None}


def _history(folder: Path, batches_after: Sequence[int]) -> tuple[TrialEpoch, ...]:
    with (folder / "history.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = ("train_loss", "valid_loss", "accuracy", "recall", "auroc")
    return tuple(
        TrialEpoch(row["stage"], batches, *(float(row[name]) for name in names))
        for row, batches in zip(rows, batches_after, strict=True)
    )


def _figures(
    trial: Trial,
    truth: NDArray[np.int64],
    probs: NDArray[np.float64],
    labels: tuple[str, ...],
    threshold: float | None = None,
) -> dict[str, Estimate]:
    """At the most probable class, since a threshold chosen on these images is optimistic.

    With a `threshold`, images of at least that probability are positive.
    """
    from pipeline.metrics.classification import evaluate

    index = None if trial.positive is None else labels.index(trial.positive)
    valid = trial.dataset.valid
    patients = [sample.patient_or_file for sample in valid]
    figures = evaluate(truth, probs, index, threshold, patients)
    for source in sorted({sample.source for sample in valid if sample.source}):
        rows = np.array([sample.source == source for sample in valid])
        if len(np.unique(truth[rows])) == len(labels) and not rows.all():
            within = [patient for patient, inside in zip(patients, rows, strict=True) if inside]
            found = evaluate(truth[rows], probs[rows], index, threshold, within)
            figures[f"auroc_within_{source}"] = found["auroc"]
    return {
        name: Estimate(float(its.value), float(its.low), float(its.high))
        for name, its in sorted(figures.items())
    }


def _write_predictions(
    path: Path, dataset: Dataset, labels: tuple[str, ...], probs: NDArray[np.float64]
) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        predictions = csv.writer(lines)
        predictions.writerow(["file", "label", *labels])
        for sample, row in zip(dataset.valid, probs, strict=True):
            predictions.writerow([sample.file, sample.label, *(f"{p:.7g}" for p in row)])


def _parameters(topology: str, classes: int) -> int:
    import torch

    from pipeline.models.networks import build_network

    with torch.device("meta"):
        return sum(p.numel() for p in build_network(topology, classes).parameters())


def _difference(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """What differs, in words; empty: nothing."""
    said = {"data": "the images or their split differ"}
    found = []
    for key in sorted(before.keys() | now.keys()):
        was, is_ = before.get(key), now.get(key)
        if was == is_:
            continue
        if isinstance(was, dict) and isinstance(is_, dict):
            found += [
                f"{name} was {was.get(name)}, is {is_.get(name)}"
                for name in sorted(was.keys() | is_.keys())
                if was.get(name) != is_.get(name)
            ]
        else:
            found.append(said.get(key, f"{key} was {was}, is {is_}"))
    return "; ".join(found)
