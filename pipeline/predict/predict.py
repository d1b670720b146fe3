"""``python -m pipeline predict``: a checkpoint and image files in, a `Prediction` for each out.

Images are read, answered and forgotten one at a time, so that memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import BadInput
from pipeline.predict.checkpoint_model import CheckpointModel, calibration_note
from pipeline.predict.heat_map import write_heat_map
from pipeline.predict.prediction import Prediction, prediction_of
from pipeline.terminal.console import shown

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.checkpoint import Checkpoint
    from pipeline.json_files import JsonObject
    from pipeline.predict.report import Progress

Skip = Callable[[BadInput], None]


def predictions(
    model: CheckpointModel,
    images: Sequence[Path],
    heat_maps: Mapping[Path, Path],
    progress: Progress | None = None,
    skip: Skip | None = None,
) -> Iterator[Prediction]:
    """The prediction of each image, in their order, as it is asked for.

    Args:
        model: of `pipeline.predict.checkpoint_model.load_model`.
        images: files.
        heat_maps: image -> where its heat map goes; left out where the network has no evidence.
        progress: gets how many images are done, and how many there are.
        skip: gets the error of an image that cannot be read, which is then left out; None: it is
            raised.

    Raises:
        BadInput: an image cannot be read, a heat map not be written, or the network outputs NaN.
    """
    for done, path in enumerate(images, start=1):
        try:
            pixels = model.pixels(path)
        except BadInput as error:
            if skip is None:
                raise
            skip(error)
        else:
            probs, evidence = model.answer(pixels)
            try:
                found = prediction_of(path, probs, model.rule)
            except ValueError as error:
                raise BadInput(f"{shown(path)}: {error}; the network is damaged") from error
            if evidence is not None and path in heat_maps:
                write_heat_map(heat_maps[path], pixels, evidence, found)
                found = replace(found, heat_map=heat_maps[path])
            yield found
        if progress is not None:
            progress(done, len(images))


def document_of(
    checkpoint: Checkpoint,
    images: Sequence[JsonObject],
    unreadable: Sequence[BadInput],
    heat_maps: str,
) -> JsonObject:
    """All predictions of a checkpoint for programs; `heat_maps`: why there are none, or empty."""
    spec = checkpoint.spec
    return {
        "schema": 1,
        "command": "predict",
        "model": {
            "name": spec.name,
            "version": spec.version,
            "checkpoint_sha256": checkpoint.sha256,
            "intended_use": spec.intended_use,
            "labels": list(spec.labels),
            "positive": spec.positive,
            "threshold": spec.threshold,
            "calibration": calibration_note(spec),
            "precision": "fp32" if spec.compression is None else spec.compression.precision,
        },
        "images": list(images),
        "unreadable": [shown(error) for error in unreadable],
        "heat_maps_not_run": heat_maps,
    }
