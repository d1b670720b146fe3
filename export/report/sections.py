"""The results of a run beyond its verdicts, as parts of the report.

In: the outcomes of a run and the references that they were compared with. Out: parts of a `Report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from export.formats.register import FORMATS
from export.manifest.manifest import read_manifest
from export.report.accuracy import classification
from export.report.differences import (
    Answered,
    differences,
    worst_images,
)
from export.report.disagreement import Differences, WorstImage
from export.report.figures import Figures, History, Training, Validation
from export.report.report import ModelFacts, PublishedFile
from pipeline.training.record import HISTORY_FILE, PREDICTIONS_FILE, read_history, read_predictions

if TYPE_CHECKING:
    from pathlib import Path

    from export.parity.outcome import Outcome
    from export.parity.reference import References
    from pipeline.model_spec import ModelSpec

MOST_EPOCHS: Final = 500


def details(outcome: Outcome, references: References) -> tuple[Differences | None, Figures | None]:
    """Differences and accuracy of one artifact's outputs; None if it was not run."""
    probs = outcome.parity.probs
    if probs is None:
        return None, None
    reference = references.of(FORMATS[outcome.key[0]].precisions[outcome.key[1]].variant)
    truth = np.array(references.images.truth, dtype=np.int64)
    figures = classification(truth, probs, reference.spec) if len(truth) else None
    return differences(probs, reference.probs), figures


def worst_of_all(done: Sequence[Outcome], references: References) -> tuple[WorstImage, ...]:
    """The worst-agreeing images of all artifacts that were run."""
    answered = [
        Answered(
            " ".join(outcome.key),
            FORMATS[outcome.key[0]].precisions[outcome.key[1]].variant,
            outcome.parity.probs,
            FORMATS[outcome.key[0]].precisions[outcome.key[1]].tolerance.max_abs_diff,
        )
        for outcome in done
        if outcome.parity.probs is not None
    ]
    held = {
        variant: references.of(variant).probs
        for variant in ("fp32", *(a.variant for a in answered))
    }
    labels = references.of("fp32").spec.labels
    return tuple(worst_images(answered, held, references.images, labels))


def training_of(checkpoint: Path, spec: ModelSpec) -> Training:
    """Epochs and validation outputs that training left next to the checkpoint; or why not.

    Of more than `MOST_EPOCHS` epochs that many are kept, evenly spaced.
    """
    found, no_history = read_history(checkpoint)
    answers, no_answers = read_predictions(checkpoint, spec)
    epochs = found or []
    kept = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), MOST_EPOCHS)).round())
    history = History(
        status="not_run" if found is None else "done",
        reason=no_history,
        source=HISTORY_FILE,
        epochs=len(epochs),
        rows=tuple(epochs[i] for i in kept.astype(int).tolist()) if epochs else (),
    )
    if answers is None:
        validation = Validation("not_run", no_answers, PREDICTIONS_FILE, None)
        return Training(history, validation, spec.calibration)
    figures = classification(answers.truth, answers.probs, spec)
    validation = Validation("done", "", PREDICTIONS_FILE, figures)
    return Training(history, validation, spec.calibration)


def published_files(folders: Sequence[Path]) -> dict[tuple[str, str], PublishedFile]:
    """(format, precision) -> what an app must know about the published file, by its manifest."""
    return {
        (entry.format, entry.precision): PublishedFile(
            path=entry.path,
            zipped_bytes=entry.zipped_bytes,
            files=entry.files,
            inputs=entry.inputs,
            outputs=entry.outputs,
            requires=entry.requires,
            session=entry.session,
        )
        for folder in folders
        for entry in read_manifest(folder).artifacts
    }


def model_of(spec: ModelSpec, identity: str) -> ModelFacts:
    """The model that the artifacts are made from; `identity` is the checkpoint's hash."""
    return ModelFacts(
        name=spec.name,
        version=spec.version,
        checkpoint_sha256=identity,
        architecture=spec.architecture,
        labels=spec.labels,
        positive=spec.positive,
        threshold=spec.threshold,
        side=spec.side,
        resize=spec.resize.document(),
        metrics=spec.metrics,
        data=spec.data,
        intended_use=spec.intended_use,
    )
