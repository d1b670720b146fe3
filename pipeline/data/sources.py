"""The images of a run, a training or one on a checkpoint: the user's, or phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.config import TrainConfig
from pipeline.data import phantom
from pipeline.data.dataset import check_images, read_dataset
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pipeline.data.dataset import Dataset
    from pipeline.model_spec import ModelSpec

PHANTOMS: Final = (480, 240)  # train, valid: about the size of the X-ray study this comes from


def training_images(data: Path | None, seed: int, valid_fraction: float) -> Dataset:
    """Read `data`, every image decoded once; None: the embedded default set, drawn once.

    Raises:
        BadInput: as `read_dataset` and `check_images`.
    """
    if data is None:
        return _phantoms(seed)
    dataset = read_dataset(data, seed=seed, valid_fraction=valid_fraction)
    check_images([*dataset.train, *dataset.valid])
    return dataset


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
    default = TrainConfig()
    dataset = training_images(
        data,
        int(spec.training.get("seed", default.seed)),
        float(spec.training.get("valid_fraction", default.valid_fraction)),
    )
    if dataset.labels != spec.labels:
        raise BadInput(
            f"the images have the labels {', '.join(dataset.labels)}, the checkpoint "
            f"{', '.join(spec.labels)}; give the images it was trained on with --data"
        )
    if dataset.fingerprint() != spec.data.get("fingerprint"):
        print("note: these are not exactly the images that the checkpoint was trained on")
    return dataset


def _phantoms(seed: int) -> Dataset:
    place = Path("build") / "phantoms" / f"synthetic_seed{seed}"
    if not place.exists():
        print(f"no --data given: drawing {sum(PHANTOMS)} synthetic X-ray phantoms into {place}")
        phantom.write_dataset(place, *PHANTOMS, seed=seed)
    return read_dataset(place)
