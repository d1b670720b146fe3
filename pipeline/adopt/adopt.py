"""An existing fastai learner becomes a checkpoint for `python -m export`.

In: a file of `learn.save` or `learn.export`. Out: a checkpoint folder, written only if its network
gives the same outputs as the learner's own model on the same tensors, and, of a whole learner, if
both give the same probabilities from image file on.
"""

from __future__ import annotations

import platform
import re
import tempfile
from collections import Counter
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.adopt.drawn_files import write_pictures
from pipeline.adopt.end_to_end import end_to_end
from pipeline.adopt.equivalence import agreement, file_tensors, softmax
from pipeline.adopt.label_order import QUESTION, QUESTION_OF_DATA, doubted_order
from pipeline.adopt.source_model import check_request, open_original
from pipeline.architecture_names import identifier
from pipeline.atomic_files import staged_folder
from pipeline.checkpoint import write_checkpoint
from pipeline.config import TrainConfig
from pipeline.data.owners_words import words_of
from pipeline.errors import BadInput, require
from pipeline.model_spec import ModelSpec
from pipeline.training.train import TOOLS, check_place

if TYPE_CHECKING:
    from torch import nn

    from pipeline.adopt.source_model import Adoption, Original
    from pipeline.data.dataset import Dataset

DEFAULT_THRESHOLD: Final = 0.5


def adopt(request: Adoption) -> Path | None:
    """Write the checkpoint folder and return its path; None if the networks disagree.

    Findings and comparisons are printed. With `data` there are figures on its validation images,
    and for two labels a threshold (Youden's) if none is given; without, the threshold is 0.5.

    Raises:
        BadInput: the file, the options or the model in the file is not supported.
        MissingDependency: fastai is not installed.
    """
    require("fastai", "sklearn", what="adopting a learner")
    from pipeline.adopt.adopted import adopted
    from pipeline.adopt.learner_file import learner_sha256

    check_request(request)
    sha256 = learner_sha256(request.source)
    original = open_original(request)
    before = identifier(original.called)
    name = request.name or f"{before}_{_identifier(request.source.stem)}"
    out = request.out or Path("build") / "checkpoints" / name
    check_place(out, request.data, request.overwrite)
    dataset = _read_data(request, original.labels)
    said = words_of(request.words, dataset)
    positive = _positive(request, original.labels, dataset)
    made, probes = adopted(original)
    network = made.network
    print(f"{made.architecture}, {made.words}")
    print(f"drawn pictures and noise, the learner's model and the adopted one: {probes}")
    if not probes.holds:
        _tell_refusal(out)
        return None
    proof = _proof(original, network)
    if proof is None:
        _tell_refusal(out)
        return None
    spec = ModelSpec(
        name=name,
        version=request.model_version,
        architecture=made.architecture,
        labels=original.labels,
        positive=positive,
        threshold=None if positive is None else request.threshold or DEFAULT_THRESHOLD,
        resize=original.resize,
        mean=original.mean,
        std=original.std,
        training={
            "adopted_from": _origin(request, original, sha256),
            "initial_weights": _known_of_training(original),
            "same_tensors": asdict(probes),
            **proof,
        },
        tools={"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}},
        head=made.head,
        intended_use=said.intended_use,
        owner=said.owner,
    )
    if dataset is None:
        if positive is not None and request.threshold is None:
            print(f"threshold {DEFAULT_THRESHOLD}: without --data there is nothing to choose it by")
        print("no figures: --data gives none")
    else:
        measured = _measure(spec, original, network, dataset, request.threshold)
        if measured is None:
            _tell_refusal(out)
            return None
        spec = measured
    with staged_folder(out) as staging:
        write_checkpoint(staging, spec, made.weights, program=made.program)
        said.write_pictures(staging)
    return out


def _origin(request: Adoption, original: Original, sha256: str) -> dict[str, str]:
    """What was adopted; the file of a learner in memory is gone when this is read."""
    if request.in_memory:
        return {"what": "fastai learner in memory"}
    what = "weights" if original.learner is None else "exported fastai learner"
    return {"file": request.source.name, "sha256": sha256, "what": what}


def _known_of_training(original: Original) -> str:
    """What is known of the learner's training: nothing, and of weights not its use either."""
    said = "those of the adopted learner; how it was trained is not known"
    if original.learner is not None:
        return said
    return (
        f"{said}; its resize, its normalisation and that an image has one label are as they were "
        "given or assumed, not read from it"
    )


def _tell_refusal(out: Path) -> None:
    print(f"the adopted network does not give the learner's outputs: {out} was not written")


def _identifier(stem: str) -> str:
    return re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_").lower() or "learner"


def _read_data(request: Adoption, labels: tuple[str, ...]) -> Dataset | None:
    data, group = request.data, request.group_column
    if data is None:
        if group is not None:
            raise BadInput(f"--group-column {group} is of a table: give one with --data")
        return None
    from pipeline.data.sources import training_images

    dataset = training_images(data, TrainConfig().seed, TrainConfig().valid_fraction, group)
    spelled = dataset.spelled_as(labels)
    if spelled is None:
        raise BadInput(
            f"{data} has the labels {', '.join(dataset.labels)}, the learner {', '.join(labels)}"
        )
    return spelled


def _positive(request: Adoption, labels: tuple[str, ...], dataset: Dataset | None) -> str | None:
    """The requested label; otherwise the rarer of two in the training images, on a tie the last."""
    if len(labels) > 2:
        if request.positive is not None or request.threshold is not None:
            raise BadInput(f"--positive and --threshold need two labels; there are {len(labels)}")
        return None
    if request.positive is not None:
        if request.positive not in labels:
            raise BadInput(f"--positive {request.positive}: the labels are {', '.join(labels)}")
        return request.positive
    counts = Counter(sample.label for sample in dataset.train) if dataset else Counter()
    chosen = min(reversed(labels), key=lambda label: counts[label])
    print(f"--positive not given: {chosen}")
    return chosen


def _proof(original: Original, network: nn.Module) -> dict[str, Any] | None:
    """A whole learner on drawn files, from file to probabilities; None if they disagree."""
    from pipeline.adopt.any_learner.grey import NOTE

    if original.pixels is None:
        print(f"image: {original.resize.sentence()}, as --resize and --side say")
        return {}
    print(f"image: {original.resize.sentence()}; the learner: {', '.join(original.pixels.steps)}")
    with tempfile.TemporaryDirectory() as place:
        drawn = write_pictures(Path(place), original.resize.size, original.grey)
        found = end_to_end(original, network, drawn, "drawn files")
    if found is None:
        return None
    return {
        **({"grey": NOTE} if original.grey else {}),
        "learner_transforms": list(original.pixels.steps),
        "own_predictions_drawn": asdict(found),
    }


def _measure(
    spec: ModelSpec,
    original: Original,
    network: nn.Module,
    dataset: Dataset,
    threshold: float | None,
) -> ModelSpec | None:
    """The spec with figures on the validation images; None if the networks disagree on them."""
    from pipeline.metrics.calibration import uncalibrated
    from pipeline.metrics.classification import evaluate, youden_threshold

    paths = [sample.path for sample in dataset.valid]
    same, ours = agreement(original.model, network, lambda: file_tensors(paths, original))
    print(f"validation images, the learner's model and the adopted one: {same}")
    if not same.holds:
        return None
    probs = softmax(ours)
    truth = np.array([spec.labels.index(sample.label) for sample in dataset.valid])
    if spec.positive_index is not None and threshold is None:
        chosen = round(youden_threshold(truth, probs, spec.positive_index), 4)
        spec = replace(spec, threshold=chosen)
        print(f"threshold {chosen}: Youden's, on the validation images")
    if original.learner is not None:
        own = end_to_end(original, network, paths, "validation images")
        if own is None:
            return None
        spec = replace(spec, training={**spec.training, "own_predictions": asdict(own)})
    patients = [sample.patient_or_file for sample in dataset.valid]
    figures = evaluate(truth, probs, spec.positive_index, spec.threshold, patients)
    question = QUESTION if original.learner is None else QUESTION_OF_DATA
    if doubt := doubted_order(spec.labels, truth, probs, figures["auroc"].value, question):
        print(f"NOTE: {doubt}")
    calibration = uncalibrated(
        ours, truth, spec.labels, "an adopted learner keeps its own probabilities"
    )
    return replace(
        spec,
        metrics={
            **{key: asdict(value) for key, value in sorted(figures.items())},
            "calibration_error": calibration.after.error,
        },
        training={**spec.training, "calibration": asdict(calibration)},
        data={
            **dataset.facts(),
            "split": f"{dataset.split_rule}; which of them the learner was trained on is not known",
        },
    )
