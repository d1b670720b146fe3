"""The images of a run, a training or one on a checkpoint: the user's, or phantoms."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.data import phantom
from pipeline.data.dataset import read_dataset
from pipeline.data.kept_pixels import KeptPixels
from pipeline.data.listing.labels import quoted
from pipeline.data.reading import read_images
from pipeline.data.split import split_of
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.data.kept_pixels import PixelRecipe
    from pipeline.model_spec import ModelSpec

PHANTOMS: Final = (480, 240)  # train, valid: about the size of the X-ray study this comes from


def training_images(
    data: Path | None,
    seed: int,
    valid_fraction: float,
    group_column: str | None = None,
    *,
    recipe: PixelRecipe | None = None,
    folder: Path | None = None,
) -> Dataset:
    """Read `data`, every image decoded once; None: the embedded default set, drawn once.

    With a `recipe` the pixels that it makes are kept, in a file in `folder`. The rest is as in
    `pipeline.data.dataset.read_dataset`.

    Raises:
        BadInput: as `read_dataset` and `pipeline.data.reading.read_images`.
    """
    if data is None:
        if group_column is not None:
            raise BadInput(f"--group-column {group_column} is of a table: give one with --data")
        return _phantoms(seed)
    if os.path.exists(data):  # noqa: PTH110 - as in `read_dataset`, which tells
        print(f"looking for images in {data}", flush=True)
    dataset = read_dataset(
        data, seed=seed, valid_fraction=valid_fraction, group_column=group_column
    )
    for note in dataset.notes:
        print(note, flush=True)
    samples = (*dataset.train, *dataset.valid)
    return read_images(dataset, KeptPixels(samples, recipe, folder) if recipe else None)


def checkpoint_images(data: Path | None, spec: ModelSpec) -> Dataset:
    """The images of a checkpoint, split as for its training; prints a note if they differ.

    Raises:
        BadInput: as `training_images`, or the labels are not the checkpoint's.
    """
    if data is None and spec.labels != phantom.LABELS:
        raise BadInput(
            f"the checkpoint has the labels {', '.join(spec.labels)}, the synthetic phantoms "
            f"{', '.join(phantom.LABELS)}; give the images it was trained on with --data"
        )
    dataset = training_images(data, **asdict(split_of(spec)))
    spelled = dataset.spelled_as(spec.labels)
    if spelled is None:
        raise BadInput(
            f"the images have the labels {quoted(dataset.labels)}, the checkpoint "
            f"{quoted(spec.labels)}; give the images it was trained on with --data"
        )
    if spelled.fingerprint() != spec.data.get("fingerprint"):
        print("note: these are not exactly the images that the checkpoint was trained on")
    return spelled


def _phantoms(seed: int) -> Dataset:
    place = Path("build") / "phantoms" / f"synthetic_seed{seed}"
    if not place.exists():
        print(f"no --data given: drawing {sum(PHANTOMS)} synthetic X-ray phantoms into {place}")
        phantom.write_dataset(place, *PHANTOMS, seed=seed)
    return read_dataset(place)
