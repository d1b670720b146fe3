"""The pipeline from Python: `train`, `adopt`, `compress` and `predict`.

Each does what the command of its name does, and returns a typed result instead of an exit code.
What a user can fix is raised (`pipeline.errors`: `BadInput`, `MissingDependency`); its messages
name the command's options, which are the arguments here. Nothing is printed: what the commands
print while they work goes to `say`, line by line; None: nowhere. `say` hears the whole process, so
one call at a time. Importing this imports nothing heavy.

`export.api` has the same for exported files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import TrainConfig
from pipeline.errors import BadInput
from pipeline.predict.report import Progress
from pipeline.terminal.console import printed_to

if TYPE_CHECKING:
    from fastai.learner import Learner

    from pipeline.checkpoint import Checkpoint
    from pipeline.data.owners_words import OwnersWords
    from pipeline.predict.prediction import Prediction
    from pipeline.resize.rule import Size

Place = str | PathLike[str]
Say = Callable[[str], None]


def train(
    data: Place | None = None,
    *,
    config: TrainConfig | None = None,
    out: Place | None = None,
    name: str | None = None,
    model_version: str = "0.0.0",
    positive: str | None = None,
    overwrite: bool = False,
    shortcuts: bool = True,
    words: OwnersWords | None = None,
    group_column: str | None = None,
    say: Say | None = None,
) -> Checkpoint:
    """Train a classifier on images; return its checkpoint.

    Args:
        data: folder or .csv table of images; None: synthetic phantoms.
        config: the recipe; None: the paper's. ``TrainConfig(**PRESETS["quick"])`` is the quick one
            (both of `pipeline.config`).
        out: folder to be written; None: ``build/checkpoints/NAME``.
        name: of the model; None: architecture and data set.
        model_version: goes into the checkpoint.
        positive: of two labels, the one that recall and threshold refer to; None: the rarer.
        overwrite: replace `out` if it exists.
        shortcuts: look afterwards for what the model could score by besides its task.
        words: what the owner says of the model (`pipeline.data.owners_words.OwnersWords`), such as
            its intended use; None: nothing.
        group_column: of the table, what belongs together; None: patient, if the table has it.
        say: gets each line of progress.

    Raises:
        BadInput: bad data, an unknown label, or `out` exists.
        MissingDependency: fastai is not installed.
    """
    from pipeline.checkpoint import open_checkpoint
    from pipeline.training.train import train as run

    with printed_to(say):
        folder = run(
            config or TrainConfig(),
            _path(data),
            _path(out),
            name=name,
            model_version=model_version,
            positive=positive,
            overwrite=overwrite,
            shortcuts=shortcuts,
            words=words,
            group_column=group_column,
        )
    return open_checkpoint(folder)


def adopt(
    source: Learner | Place,
    *,
    architecture: str | None = None,
    labels: Sequence[str] = (),
    positive: str | None = None,
    threshold: float | None = None,
    side: Size | None = None,
    resize: str | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    name: str | None = None,
    model_version: str = "0.0.0",
    data: Place | None = None,
    out: Place | None = None,
    trust_pickle: bool = False,
    overwrite: bool = False,
    words: OwnersWords | None = None,
    group_column: str | None = None,
    say: Say | None = None,
) -> Checkpoint:
    """Make a checkpoint of a fastai learner that is already trained; return it.

    Args:
        source: the learner itself, which is left as it is, or a file of `learn.save` or
            `learn.export`. Both ways give the same checkpoint.
        architecture, labels, mean, std: of a file of weights, which does not say them.
        positive, threshold: of two labels; None: chosen.
        side: of the input in pixels, or height and width; of a file of weights.
        resize: how images became the input, such as ``crop``; of a file of weights.
        name: of the model; None: from architecture and source.
        model_version: goes into the checkpoint.
        data: folder or .csv table of images to measure on.
        out: folder to be written; None: ``build/checkpoints/NAME``.
        trust_pickle: open the file of `learn.export`, which runs the code in it.
        overwrite: replace `out` if it exists.
        words, group_column: as in `train`.
        say: gets each line of progress.

    Raises:
        BadInput: the source or the model in it is not supported, or the adopted network does not
            give the learner's outputs; nothing is written then.
        MissingDependency: fastai is not installed.
    """
    from pipeline.adopt.adopt import adopt as run
    from pipeline.adopt.source_model import Adoption
    from pipeline.checkpoint import open_checkpoint
    from pipeline.data.owners_words import OwnersWords
    from pipeline.errors import require

    require("fastai", "sklearn", what="adopting a learner")
    told: list[str] = []

    def listen(line: str) -> None:
        told.append(line)
        if say is not None:
            say(line)

    with tempfile.TemporaryDirectory() as place:
        in_memory = not isinstance(source, str | PathLike)
        path = Path(place) / "learner.pkl" if in_memory else Path(source)
        try:
            with printed_to(listen):
                if in_memory:
                    from pipeline.adopt.learner_in_memory import export_learner

                    export_learner(source, path)
                request = Adoption(
                    source=path,
                    architecture=architecture,
                    labels=tuple(labels),
                    positive=positive,
                    threshold=threshold,
                    side=side,
                    resize=resize,
                    mean=mean,
                    std=std,
                    name=name,
                    model_version=model_version,
                    data=_path(data),
                    out=_path(out),
                    trust_pickle=trust_pickle or in_memory,
                    overwrite=overwrite,
                    in_memory=in_memory,
                    words=words or OwnersWords(),
                    group_column=group_column,
                )
                folder = run(request)
        except BadInput as error:
            if in_memory:  # the file is not the user's
                raise BadInput(str(error).replace(str(path), "the learner")) from error
            raise
    if folder is None:
        raise BadInput("; ".join(told[-2:]))
    return open_checkpoint(folder)


def compress(
    checkpoint: Checkpoint | Place,
    data: Place | None = None,
    precisions: Sequence[str] = ("int8", "w4", "w3"),
    *,
    changes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    say: Say | None = None,
) -> dict[str, Checkpoint]:
    """Put a checkpoint's weights on grids; return precision -> compressed checkpoint.

    Args:
        checkpoint: a checkpoint, or its folder, inside which the compressed ones are written.
        data: the images it was trained on; None: synthetic phantoms.
        precisions: some of ``int8``, ``w4``, ``w3``.
        changes: fields of `pipeline.compress.recipes.Recipe` that replace a precision's own, such
            as ``{"epochs": 0}``.
        overwrite: replace earlier compressed checkpoints.
        say: gets each line of progress.

    Raises:
        BadInput: a bad checkpoint, bad data or data of other labels, an unknown precision, or a
            compressed checkpoint that exists.
        MissingDependency: fastai is not installed.
    """
    from pipeline.checkpoint import open_checkpoint
    from pipeline.compress.compress import compress as run

    with printed_to(say):
        folders = run(
            _folder(checkpoint), _path(data), precisions, changes=changes, overwrite=overwrite
        )
    return {folder.name: open_checkpoint(folder) for folder in folders}


def predict(
    checkpoint: Checkpoint | Place,
    images: Place | Iterable[Place],
    *,
    heat_maps: Place | None = None,
    progress: Progress | None = None,
    unreadable: Callable[[BadInput], None] | None = None,
) -> list[Prediction]:
    """What a checkpoint says about images, by PyTorch: a `Prediction` for each, in their order.

    Args:
        checkpoint: a checkpoint, or its folder; a compressed one too.
        images: image files, and folders that are searched for them.
        heat_maps: folder for a PNG of each image; a network without evidence writes none, and
            `Prediction.heat_map` is then None.
        progress: gets how many images are done, and how many there are.
        unreadable: gets the error of each image that cannot be read, which is then left out; None:
            it is raised.

    Raises:
        BadInput: a bad checkpoint, a place that does not exist, or an image that cannot be read.
    """
    from pipeline.checkpoint import open_checkpoint
    from pipeline.predict.checkpoint_model import load_model
    from pipeline.predict.heat_map import heat_map_places
    from pipeline.predict.image_files import image_files, paths_of
    from pipeline.predict.predict import predictions

    places = paths_of(images)
    files = image_files(places)
    maps = heat_map_places(_path(heat_maps), places, files)
    model = load_model(open_checkpoint(_folder(checkpoint)))
    return list(predictions(model, files, maps, progress, unreadable))


def _path(place: Place | None) -> Path | None:
    return None if place is None else Path(place)


def _folder(checkpoint: Checkpoint | Place) -> Path:
    return Path(checkpoint) if isinstance(checkpoint, str | PathLike) else checkpoint.folder
