"""A data set of phantoms on disk.

In: how many images, and a seed. Out: a folder as fastai's `ImageDataLoaders.from_folder` reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.atomic_files import staged_folder
from pipeline.data.phantom.draw import LABELS, draw

DESCRIPTION: Final = "Synthetic phantom, not a patient"


def write_dataset(folder: Path, train: int, valid: int, seed: int = 2) -> None:
    """Write `folder/{train,valid}/{label}/synthetic-0001.png` and so on.

    `train` and `valid` are images in all, split evenly over the labels (an odd one goes to the
    first). The numbers of valid follow those of train, so no image is in both. The folder appears
    complete or not at all.

    Raises:
        FileExistsError: the folder already exists.
        BadInput: its place cannot be written.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if folder.exists():
        raise FileExistsError(f"{folder} already exists: remove it or choose another folder")
    text = PngInfo()
    text.add_text("Description", DESCRIPTION)
    with staged_folder(folder) as staging:
        for class_index, label in enumerate(LABELS):
            number = 0
            for split, images in (("train", train), ("valid", valid)):
                home = staging / split / label
                home.mkdir(parents=True)
                for _ in range((images + len(LABELS) - 1 - class_index) // len(LABELS)):
                    number += 1
                    image = Image.fromarray(draw(label, number, seed))
                    image.save(home / f"synthetic-{number:04d}.png", pnginfo=text, compress_level=1)
