"""What an exported learner does to an image before its model sees it, found by running it.

In: a fastai learner. Out: side, mean and std, and whether its resize is the one resize rule
(`pipeline.images`). Its transforms are run on probes: plain colours, which any crop or resize
leaves as they are, show the scaling of values; a picture of noise shows the resize.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from pipeline.data.preprocessing import normalise
from pipeline.errors import BadInput
from pipeline.images import read_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastai.data.core import TfmdDL
    from fastai.learner import Learner
    from numpy.typing import NDArray
    from torch import Tensor

    Triple = tuple[float, float, float]

COLOURS: Final = ((0, 0, 0), (200, 120, 40), (30, 90, 250))  # RGB
NOISE_PX: Final = (300, 410)  # height, width: neither square nor a common size
TRAIN_ONLY: Final = 0  # fastai's `split_idx` of an augmentation
SAME: Final = 1e-3  # in normalised units: a quarter of a grey level at most


@dataclass(frozen=True)
class LearnerPixels:
    """How a learner reads an image.

    Attributes:
        side: width and height of what its model gets; None: it could not be run.
        mean, std: of its normalisation, in units of pixel / 255.
        steps: its transforms in words, in their order, without those for training alone.
        same_resize: whether its pixels are those of the one resize rule; None: not compared.
        reason: why it was not compared.
    """

    side: int | None
    mean: Triple
    std: Triple
    steps: tuple[str, ...]
    same_resize: bool | None
    reason: str = ""


def read_pixels(learner: Learner) -> LearnerPixels:
    """Side, normalisation and resize of a learner.

    Raises:
        BadInput: its input is not one square of fixed size, or what it does to values is not
            described by a mean and a std per channel.
    """
    mean, std = _normalisation(learner)
    valid = learner.dls.valid
    both = [*valid.after_item.fs, *valid.after_batch.fs]
    steps = tuple(_words(step) for step in both if step.split_idx != TRAIN_ONLY)
    with tempfile.TemporaryDirectory() as place:
        paths = _write_probes(Path(place))
        try:
            batches = [batch.numpy() for batch in learner_batches(learner, paths, 1)]
        except Exception as error:  # its functions are of the user's own making
            reason = f"its transforms do not take an image file: {type(error).__name__}: {error}"
            return LearnerPixels(None, mean, std, steps, None, reason)
        side = _side({tuple(batch.shape) for batch in batches})
        _check_values(batches[:-1], mean, std, steps)
        ours = normalise(read_image(paths[-1], side)[None], mean, std).numpy()
    same = bool(np.abs(ours - batches[-1]).max() <= SAME)
    return LearnerPixels(side, mean, std, steps, same)


def learner_loader(learner: Learner, paths: Sequence[Path], size: int) -> TfmdDL:
    """Fastai's loader of image files, with the learner's own transforms of validation images.

    A learner whose items are rows of a table cannot open a path with its own functions; there its
    transforms begin with the opened image.
    """
    loader = learner.dls.test_dl(list(paths), bs=size, num_workers=0)
    try:
        loader.dataset[0]
    except Exception:  # its functions are of the user's own making
        from fastai.data.core import Datasets
        from fastai.vision.core import PILImage

        opened = Datasets(list(paths), tfms=[[PILImage.create]])
        return learner.dls.valid.new(opened, bs=size, num_workers=0)
    return loader


def learner_batches(learner: Learner, paths: Sequence[Path], size: int) -> Iterator[Tensor]:
    """What the model gets for `paths`, as the learner prepares it: float32 (N, 3, H, W)."""
    for batch in learner_loader(learner, paths, size):
        yield batch[0].as_subclass(torch.Tensor)


def _normalisation(learner: Learner) -> tuple[Triple, Triple]:
    """Of the learner's `Normalize`; without one, pixels are only divided by 255."""
    from fastai.data.transforms import Normalize

    found = [step for step in learner.dls.valid.after_batch.fs if isinstance(step, Normalize)]
    if not found:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    values = [torch.as_tensor(v).flatten().tolist() for v in (found[0].mean, found[0].std)]
    if len(found) > 1 or any(len(v) != 3 for v in values):
        raise BadInput("the learner normalises in another way than by three means and deviations")
    # As decimal numbers of float32: 0.485 was meant, not 0.48500001430511475.
    mean, std = (tuple(float(str(np.float32(v))) for v in value) for value in values)
    return mean, std  # type: ignore[return-value]


def _write_probes(place: Path) -> list[Path]:
    """One image file in each colour, then the noise."""
    from PIL import Image

    height, width = NOISE_PX
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    images = [np.full((height, width, 3), colour, dtype=np.uint8) for colour in COLOURS]
    paths = [place / f"{number}.png" for number in range(len(images) + 1)]
    for path, pixels in zip(paths, [*images, noise], strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def _side(shapes: set[tuple[int, ...]]) -> int:
    shape = min(shapes)
    if len(shapes) > 1 or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
        found = " or ".join(" x ".join(map(str, shape[1:])) for shape in sorted(shapes))
        raise BadInput(
            f"the learner's model gets {found} (channels x height x width); supported is one "
            "square of three channels and of one size for all images"
        )
    return shape[2]


def _check_values(
    batches: Sequence[NDArray[np.float32]], mean: Triple, std: Triple, steps: Sequence[str]
) -> None:
    for colour, batch in zip(COLOURS, batches, strict=True):
        centre = batch[0, :, batch.shape[2] // 2, batch.shape[3] // 2]
        wanted = normalise(np.array(colour, np.uint8).reshape(1, 1, 1, 3), mean, std).numpy()
        if np.abs(centre - wanted.reshape(3)).max() > SAME:
            raise BadInput(
                f"the learner makes {[round(float(v), 4) for v in centre]} of the colour {colour}, "
                f"not {[round(float(v), 4) for v in wanted.reshape(3)]}, which pixels / 255 and "
                f"its Normalize give; its steps are {', '.join(steps)}"
            )


def _words(step: object) -> str:
    """A transform's name with its size and method."""
    size, method = getattr(step, "size", None), getattr(step, "method", None)
    words = [type(step).__name__]
    if size is not None:
        words.append("x".join(str(s) for s in size) if isinstance(size, tuple) else str(size))
    if method is not None:
        words.append(str(method))
    return " ".join(words)
