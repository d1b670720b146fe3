"""The images that a run of training or compressing works on: the user's, or synthetic phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline import phantom
from pipeline.dataset import check_images, read_dataset

if TYPE_CHECKING:
    from pipeline.dataset import Dataset

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


def _phantoms(seed: int) -> Dataset:
    place = Path("build") / "phantoms" / f"synthetic_seed{seed}"
    if not place.exists():
        print(f"no --data given: drawing {sum(PHANTOMS)} synthetic X-ray phantoms into {place}")
        phantom.write_dataset(place, *PHANTOMS, seed=seed)
    return read_dataset(place)
