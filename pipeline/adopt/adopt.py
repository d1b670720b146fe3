"""An existing fastai learner becomes a checkpoint for `python -m export`.

In: a file of `learn.save` or `learn.export`. Out: a checkpoint folder, written only if its network
gives the same outputs as the learner's own model, on the same tensors.
"""

from __future__ import annotations

import platform
import re
from collections import Counter
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.adopt.equivalence import (
    BATCH,
    agreement,
    compare,
    logits,
    own_pipeline,
    probe_images,
    softmax,
    tensors,
)
from pipeline.adopt.source_model import check_request, open_original
from pipeline.atomic_files import staged_folder
from pipeline.checkpoint import write_checkpoint
from pipeline.config import TrainConfig
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
    from pipeline.adopt.fastai_network import adopted_network
    from pipeline.adopt.learner_file import learner_sha256

    check_request(request)
    sha256 = learner_sha256(request.source)
    original = open_original(request)
    name = request.name or f"{original.architecture}_{_identifier(request.source.stem)}"
    out = request.out or Path("build") / "checkpoints" / name
    check_place(out, request.data, request.overwrite)
    dataset = _read_data(request.data, original.labels)
    positive = _positive(request, original.labels, dataset)
    network, head = adopted_network(original.architecture, original.model, len(original.labels))
    probes = agreement(original.model, network, tensors(probe_images(original.side), original))
    print(f"{original.architecture}, {_head_words(network)}")
    print(f"phantoms and noise, the learner's model and the adopted one: {probes}")
    if not probes.holds:
        _tell_refusal(out)
        return None
    spec = ModelSpec(
        name=name,
        version=request.model_version,
        architecture=original.architecture,
        labels=original.labels,
        positive=positive,
        threshold=None if positive is None else request.threshold or DEFAULT_THRESHOLD,
        side=original.side,
        mean=original.mean,
        std=original.std,
        training={
            "adopted_from": {
                "file": request.source.name,
                "sha256": sha256,
                "what": "weights" if original.learner is None else "exported fastai learner",
            },
            "initial_weights": "those of the adopted learner; how it was trained is not known",
            "same_tensors": asdict(probes),
            **_preprocessing(original),
        },
        tools={"python": platform.python_version(), **{tool: version(tool) for tool in TOOLS}},
        head=head,
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
        write_checkpoint(staging, spec, network.state_dict())
    return out


def _tell_refusal(out: Path) -> None:
    print(f"the adopted network does not give the learner's outputs: {out} was not written")


def _identifier(stem: str) -> str:
    return re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_").lower() or "learner"


def _read_data(data: Path | None, labels: tuple[str, ...]) -> Dataset | None:
    if data is None:
        return None
    from pipeline.data.sources import training_images

    dataset = training_images(data, TrainConfig().seed, TrainConfig().valid_fraction)
    if set(dataset.labels) != set(labels):
        raise BadInput(
            f"{data} has the labels {', '.join(dataset.labels)}, the learner {', '.join(labels)}"
        )
    return dataset


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


def _preprocessing(original: Original) -> dict[str, Any]:
    """How the learner reads its images; printed and recorded where it differs from our rule."""
    pixels = original.pixels
    if pixels is None:
        print("how the learner resized its images is not in a file of weights; here: squished")
        return {}
    steps = ", ".join(pixels.steps)
    if pixels.same_resize is None:
        print(f"the learner's resize was not compared with ours (squish): {pixels.reason}")
    elif pixels.same_resize:
        print(f"the learner resizes as we do (squish, bilinear, antialiased): {steps}")
    else:
        print(
            f"NOTE: the learner resizes in another way than we do: {steps}. Every artifact is for "
            "squished images (bilinear, antialiased); --data shows what the difference does"
        )
    return {
        "learner_transforms": list(pixels.steps),
        "learner_resize_is_ours": pixels.same_resize,
    }


def _head_words(network: nn.Module) -> str:
    """The head in words, for a person."""
    from torch import nn

    dense = [m for m in network.get_submodule("head").children() if isinstance(m, nn.Linear)]
    if not dense:
        return "with this project's own head"
    sizes = " -> ".join(str(n) for n in [dense[0].in_features, *(m.out_features for m in dense)])
    return f"with fastai's head, its batch norms folded: {sizes}"


def _measure(
    spec: ModelSpec,
    original: Original,
    network: nn.Module,
    dataset: Dataset,
    threshold: float | None,
) -> ModelSpec | None:
    """The spec with figures on the validation images; None if the networks disagree on them."""
    from pipeline.images import read_image
    from pipeline.metrics.classification import evaluate, youden_threshold

    paths = [sample.path for sample in dataset.valid]
    ours, theirs = [], []
    for start in range(0, len(paths), BATCH):
        pixels = np.stack([read_image(p, spec.side) for p in paths[start : start + BATCH]])
        batch = list(tensors(pixels, original))
        ours.append(logits(network, batch))
        theirs.append(logits(original.model, batch))
    same = compare(np.concatenate(theirs), np.concatenate(ours))
    print(f"validation images, squished: {same}")
    if not same.holds:
        return None
    probs = softmax(np.concatenate(ours))
    truth = np.array([spec.labels.index(sample.label) for sample in dataset.valid])
    if spec.positive_index is not None and threshold is None:
        chosen = round(youden_threshold(truth, probs, spec.positive_index), 4)
        spec = replace(spec, threshold=chosen)
        print(f"threshold {chosen}: Youden's, on the validation images")
    own = own_pipeline(spec, original, network, paths, probs)
    if own is None:
        return None
    patients = [sample.patient_or_file for sample in dataset.valid]
    figures = evaluate(truth, probs, spec.positive_index, spec.threshold, patients)
    return replace(
        spec,
        metrics={key: asdict(value) for key, value in sorted(figures.items())},
        training={**spec.training, **own},
        data={
            "name": dataset.name,
            "fingerprint": dataset.fingerprint(),
            "images": dataset.counts(),
            "split": f"{dataset.split_rule}; which of them the learner was trained on is not known",
        },
    )
