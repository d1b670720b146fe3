"""One training run: data in, checkpoint folder out.

Besides the checkpoint's two files the folder holds ``curves.png``, ``history.csv`` (a row per
epoch), ``predictions.csv`` (a row per validation image: file, label, probabilities) and what the
model could score by other than what it looks for (`pipeline.shortcuts.analysis`).
"""

from __future__ import annotations

import csv
import platform
import traceback
from collections import Counter
from dataclasses import asdict, astuple, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.architecture_names import identifier
from pipeline.atomic_files import refuse_foreign, staged_folder
from pipeline.checkpoint import SPEC_FILE, Checkpoint, write_checkpoint
from pipeline.config import TrainConfig
from pipeline.data.loaders import pixel_recipe
from pipeline.data.owners_words import OwnersWords, Said, words_of
from pipeline.data.sources import training_images
from pipeline.errors import BadInput, require
from pipeline.mixed_precision import chosen_arithmetic
from pipeline.model_spec import ModelSpec, named
from pipeline.terminal.command_line import command_line
from pipeline.training.distributed import check_launch, first_alone, first_until_done

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastai.callback.core import Callback
    from torch import nn

    from pipeline.data.dataset import Dataset
    from pipeline.models.start import Start
    from pipeline.training.learner import Fit

TOOLS = ("torch", "torchvision", "fastai", "numpy", "pillow", "scikit-learn")


def train(
    config: TrainConfig,
    data: Path | None,
    out: Path | None = None,
    *,
    name: str | None = None,
    model_version: str = "0.0.0",
    positive: str | None = None,
    overwrite: bool = False,
    shortcuts: bool = True,
    words: OwnersWords | None = None,
    group_column: str | None = None,
) -> Path:
    """Train as `config` says, write the checkpoint folder and return its path.

    Args:
        config: the recipe.
        data: folder or table (`pipeline.data.dataset`); None: synthetic phantoms
            (`pipeline.data.phantom`).
        out: the folder to be written, whole, at the end; default ``build/checkpoints/<name>``.
        name: of the model; default `<architecture>_<data set>`.
        model_version: goes into the checkpoint.
        positive: the label that recall refers to; default the rarer of two in the training images,
            on a tie the last in alphabetical order. Must be None for more than two labels.
        overwrite: replace `out` if it exists.
        shortcuts: look for shortcuts too (`pipeline.shortcuts.analysis`); takes about an epoch's
            time.
        words: what the owner says of the model; None: nothing.
        group_column: of the table; see `pipeline.data.dataset.read_dataset`.

    Raises:
        BadInput: bad data, an unknown label, or `out` exists.
        MissingDependency: fastai is not installed.
    """
    require("fastai", "sklearn", "matplotlib", what="training")
    check_launch(config.batch_size)
    if name is not None and not (name.isidentifier() and name.isascii()):
        raise BadInput(f"--name {name!r}: letters, digits and underscores, please")
    if out is not None:
        check_place(out, data, overwrite)  # before the data are read, if it is known by then
    _check_size(config)
    kept_in = _existing(Path("build") if out is None else out.parent)
    with first_alone():  # or each process would draw the phantoms
        dataset = training_images(
            data,
            config.seed,
            config.valid_fraction,
            group_column,
            recipe=pixel_recipe(config),
            folder=kept_in,
        )
    said = words_of(words or OwnersWords(), dataset, drawn=data is None)
    name = name or f"{identifier(config.architecture)}_{dataset.name}"
    if out is None:
        out = Path("build") / "checkpoints" / name
        check_place(out, data, overwrite)
    return train_on(
        dataset,
        config,
        out,
        name=name,
        model_version=model_version,
        positive=positive,
        shortcuts=shortcuts,
        data=data,
        said=said,
    )


def train_on(
    dataset: Dataset,
    config: TrainConfig,
    out: Path,
    *,
    name: str,
    model_version: str = "0.0.0",
    positive: str | None = None,
    callbacks: Sequence[Callback] = (),
    shortcuts: bool = False,
    data: Path | None = None,
    said: Said | None = None,
) -> Path:
    """Train on images that are already read and split; `out` is replaced.

    `callbacks` are fastai's, for callers that want to watch; `data` is where the images were read,
    for the commands that are printed; `said`: the owner's words, checked. The rest is as for
    `train`.
    """
    said = said or Said()
    positive = _positive_label(dataset, positive)

    import torch

    from pipeline.models.networks import build_network
    from pipeline.models.pretrained import initialise_body
    from pipeline.training.learner import fit

    torch.manual_seed(config.seed)  # the head's first weights
    network = build_network(config.architecture, len(dataset.labels))
    start = initialise_body(network, config.architecture, config.weights)
    origin, config = start.origin, _normalised_as(config, start)
    _announce(dataset, positive, origin)
    if config.frozen_epochs:
        count = len(dataset.train) + len(dataset.valid)
        print(
            f"first stage: what the frozen body sees in {count} images, then the head", flush=True
        )
    positive_index = None if positive is None else dataset.labels.index(positive)
    result = fit(network, dataset, positive_index, config, *callbacks)
    with first_until_done() as is_first:
        if is_first:
            spec = _describe(config, dataset, positive, result, origin, name, model_version)
            spec = replace(spec, intended_use=said.intended_use, owner=said.owner)
            look_again = command_line("pipeline", "shortcuts", out, data=data) if shortcuts else ""
            _write(out, spec, network, dataset, result, said, look_again)
    return out


def _normalised_as(config: TrainConfig, start: Start) -> TrainConfig:
    """The recipe with the normalisation of the initial weights, unless it asks for another."""
    default = TrainConfig()
    if (config.mean, config.std) != (default.mean, default.std):
        return config
    return replace(config, mean=start.mean, std=start.std)


def check_place(out: Path, data: Path | None, overwrite: bool) -> None:
    """Refuse to replace anything but a checkpoint."""
    if out.is_dir() and data is not None and data.resolve().is_relative_to(out.resolve()):
        raise BadInput(f"--out {out} would replace the data at {data}; give another --out")
    foreign = f"{out} holds something other than a checkpoint; give another --out"
    refuse_foreign(out, lambda names: "" if SPEC_FILE in names else foreign)
    if out.exists() and not overwrite:
        raise BadInput(f"{out} exists; give --overwrite or another --out")


def _check_size(config: TrainConfig) -> None:
    """Refuse a size that the network does not take, before any image is read."""
    from pipeline.models.networks import require_size

    require_size(config.architecture, *config.rule.size)


def _existing(place: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    return next(folder for folder in (place, *place.absolute().parents) if folder.is_dir())


def _positive_label(dataset: Dataset, positive: str | None) -> str | None:
    if positive is not None and positive not in dataset.labels:
        raise BadInput(f"--positive {positive}: the labels are {', '.join(dataset.labels)}")
    if len(dataset.labels) > 2:
        if positive is not None:
            raise BadInput(f"--positive needs two labels; the data have {len(dataset.labels)}")
        return None
    counts = Counter(sample.label for sample in dataset.train)
    return positive or min(reversed(dataset.labels), key=lambda label: counts[label])


def _announce(dataset: Dataset, positive: str | None, origin: str) -> None:
    for split, counts in dataset.counts().items():
        print(f"{split}: {named([f'{n} {label}' for label, n in counts.items()])}")
    print(f"split {dataset.split_rule}; positive label: {positive or 'none (more than two)'}")
    print(f"initial weights: {origin}", flush=True)


def _describe(
    config: TrainConfig,
    dataset: Dataset,
    positive: str | None,
    result: Fit,
    origin: str,
    name: str,
    model_version: str,
) -> ModelSpec:
    from pipeline.metrics.classification import evaluate, expected_calibration_error

    if not np.isfinite(result.probs).all():
        raise BadInput(
            "training diverged: the network outputs NaN; lower the learning rates "
            "(--frozen-lr, --finetune-lr)"
        )
    index = None if positive is None else dataset.labels.index(positive)
    threshold = None
    if index is not None:
        threshold = round(_threshold(result, index, config), 4)
    patients = [sample.patient_or_file for sample in dataset.valid]
    figures = evaluate(result.truth, result.probs, index, threshold, patients)
    # A classifier can score by recognising the source. Within one source it cannot.
    for source in sorted({sample.source for sample in dataset.valid if sample.source}):
        rows = np.array([sample.source == source for sample in dataset.valid])
        if len(np.unique(result.truth[rows])) == len(dataset.labels):
            within = [patient for patient, inside in zip(patients, rows, strict=True) if inside]
            figures[f"auroc_within_{source}"] = evaluate(
                result.truth[rows], result.probs[rows], index, threshold, within
            )["auroc"]
    return ModelSpec(
        name=name,
        version=model_version,
        architecture=config.architecture,
        labels=dataset.labels,
        positive=positive,
        threshold=threshold,
        resize=config.rule,
        mean=config.mean,
        std=config.std,
        metrics={
            **{key: asdict(value) for key, value in sorted(figures.items())},
            "calibration_error": expected_calibration_error(result.truth, result.probs),
        },
        training={
            **_plain(config),
            "arithmetic": chosen_arithmetic(config.arithmetic),
            "initial_weights": origin,
            "temperature": result.temperature,
            **({"calibration": asdict(result.calibration)} if result.calibration else {}),
        },
        data=dataset.facts(),
        tools={"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}},
    )


def _threshold(result: Fit, positive: int, config: TrainConfig) -> float:
    from pipeline.metrics.classification import recall_threshold, youden_threshold

    if config.least_recall:
        return recall_threshold(result.truth, result.probs, positive, config.least_recall)
    return youden_threshold(result.truth, result.probs, positive)


def _plain(config: TrainConfig) -> dict[str, object]:
    """The recipe as it goes into the checkpoint, without what the checkpoint says elsewhere."""
    elsewhere = {"architecture", "side", "resize", "mean", "std"}
    return {f.name: getattr(config, f.name) for f in fields(config) if f.name not in elsewhere}


def _write(
    out: Path,
    spec: ModelSpec,
    network: nn.Module,
    dataset: Dataset,
    result: Fit,
    said: Said,
    look_again: str,
) -> None:
    """The checkpoint and the files for people, put in place together.

    `look_again`: the command that looks for shortcuts later; empty: do not look now either.
    """
    from pipeline.training.curves import plot_curves
    from pipeline.training.learner import EpochFigures

    with staged_folder(out) as staging:
        checkpoint = write_checkpoint(staging, spec, network.state_dict())
        said.write_pictures(staging)
        plot_curves(result.history, f"{spec.name} on {dataset.name}", staging / "curves.png")
        with (staging / "history.csv").open("w", newline="", encoding="utf-8") as lines:
            history = csv.writer(lines)
            history.writerow(["epoch", *(f.name for f in fields(EpochFigures))])
            history.writerows([i, *astuple(e)] for i, e in enumerate(result.history, start=1))
        with (staging / "predictions.csv").open("w", newline="", encoding="utf-8") as lines:
            predictions = csv.writer(lines)
            predictions.writerow(["file", "label", *spec.labels])
            for sample, probs in zip(dataset.valid, result.probs, strict=True):
                predictions.writerow([sample.file, sample.label, *(f"{p:.7g}" for p in probs)])
        if look_again:
            _add_shortcuts(checkpoint, network, dataset, look_again)


def _add_shortcuts(
    checkpoint: Checkpoint, network: nn.Module, dataset: Dataset, look_again: str
) -> None:
    """What the model could score by, next to its checkpoint; a failure must not cost the model."""
    try:
        from pipeline.shortcuts.analysis import find_shortcuts, write_shortcuts
        from pipeline.shortcuts.page import verdicts

        found, valid, readout = find_shortcuts(network, dataset, checkpoint.spec)
        write_shortcuts(checkpoint.folder, found, valid, readout, checkpoint)
    except Exception:
        traceback.print_exc()
        print(f"shortcuts: failed, as reported above; `{look_again}` tries again")
        return
    print("\nwhat it could score by:")
    for sentence in verdicts(found):
        print(f"- {sentence}")
