"""What an exported learner does to an image before its model sees it, found by running it.

In: a fastai learner. Out: its resize (`pipeline.resize`), mean and std. Its transforms are run on
drawn files: plain colours, which any crop or resize leaves as they are, show the scaling of values;
pictures of noise of many sizes show the resize, which is not read from the names of transforms but
is the rule that gives the same pixels.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from pipeline.adopt.drawn_files import COLOURS, write_colours, write_pictures
from pipeline.data.preprocessing import normalise
from pipeline.errors import BadInput
from pipeline.images import read_whole
from pipeline.resize.pixels import resized
from pipeline.resize.rule import FILLED, FILLS, Resize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastai.data.core import TfmdDL
    from fastai.learner import Learner
    from numpy.typing import NDArray
    from torch import Tensor

    Triple = tuple[float, float, float]

MARGIN_STEP: Final = 8  # fastai rounds the margin of `RandomResizedCrop` up to it
TRAIN_ONLY: Final = 0  # fastai's `split_idx` of an augmentation
SAME: Final = 1e-3  # in normalised units: a quarter of a grey level at most
SAME_LEVELS: Final = 0.05  # of 0 to 255: what is in 8 bits differs by 1 at least, or not at all
WAY_OUT: Final = (
    "Kept exactly are fastai's Resize (crop, squish, pad), RandomResizedCrop and CropPad as item "
    "transforms, with no resize among the batch transforms (aug_transforms(size=...), "
    "RandomResizedCropGPU: they interpolate again, in floating point). Give the learner such a "
    "loader (learn.dls = ...), look at what it then scores (learn.validate()), and export it "
    "again; or adopt its weights (learn.save) with the nearest --resize, and let --data tell what "
    "they score so"
)


@dataclass(frozen=True)
class LearnerPixels:
    """How a learner reads an image.

    Attributes:
        resize: what gives the very pixels that its model gets.
        mean, std: of its normalisation, in units of pixel / 255.
        grey: its model gets one channel, of images that Pillow turned to grey; mean and std are
            then three times the same.
        steps: its transforms in words, in their order, without those for training alone.
    """

    resize: Resize
    mean: Triple
    std: Triple
    steps: tuple[str, ...]
    grey: bool = False


def read_pixels(learner: Learner) -> LearnerPixels:
    """Resize and normalisation of a learner.

    Raises:
        BadInput: its transforms do not take an image file, its input is of several sizes, what it
            does to values is not described by a mean and a std per channel, or its resize is none
            that `pipeline.resize` has.
    """
    mean, std = _normalisation(learner)
    valid = learner.dls.valid
    both = [*valid.after_item.fs, *valid.after_batch.fs]
    steps = tuple(_words(step) for step in both if step.split_idx != TRAIN_ONLY)
    with tempfile.TemporaryDirectory() as place:
        colours = _batches(learner, write_colours(Path(place)))
        channels, *size = _shape(colours)
        grey = channels == 1
        paths = write_pictures(Path(place), (size[0], size[1]), grey)
        pictures = _batches(learner, paths)
        _shape([*colours, *pictures])
        _check_values(colours, mean, std, steps)
        resize = _measured_resize(paths, pictures, mean, std, steps)
    return LearnerPixels(resize, mean, std, steps, grey)


def _batches(learner: Learner, paths: Sequence[Path]) -> list[NDArray[np.float32]]:
    try:
        return [batch.numpy() for batch in learner_batches(learner, paths, 1)]
    except Exception as error:  # its functions are of the user's own making
        raise BadInput(
            f"its transforms do not take an image file: {type(error).__name__}: {error}. Adopt its "
            "weights (learn.save), and say with --side, --resize, --mean and --std what they do"
        ) from error


def _measured_resize(
    paths: Sequence[Path],
    pictures: Sequence[NDArray[np.float32]],
    mean: Triple,
    std: Triple,
    steps: Sequence[str],
) -> Resize:
    """The rule that gives the learner's pixels, every one, of every picture."""
    images = [read_whole(path) for path in paths]
    nearest, least = "", np.inf
    for rule in _candidates(pictures[0].shape[2:]):
        worst, where = 0.0, ""
        for image, picture in zip(images, pictures, strict=True):
            apart = _levels(resized(image, rule), picture, mean, std)
            if apart > worst:
                worst, where = apart, f"{image.width} x {image.height}"
            if worst >= least:
                break
        if worst <= SAME_LEVELS:
            return rule
        if worst < least:
            off = f"off by up to {worst:.3g} of 255 levels on an image of {where} pixels"
            nearest, least = f"{rule.method}, {off}", worst
    raise BadInput(
        f"the learner's resize is none that a mobile app can repeat exactly: {', '.join(steps)}. "
        f"The nearest is {nearest}. {WAY_OUT}"
    )


def _levels(
    pixels: NDArray[np.uint8], picture: NDArray[np.float32], mean: Triple, std: Triple
) -> float:
    ours = normalise(pixels[None], mean, std).numpy()
    return float((np.abs(ours - picture).max(axis=(0, 2, 3)) * np.array(std) * 255).max())


def _candidates(size: tuple[int, ...]) -> Iterator[Resize]:
    """Every rule for an input of this height and width, the usual ones first."""
    height, width = size
    yield Resize(height, width)
    yield Resize(height, width, "crop")
    for mode in FILLED:
        for fill in FILLS:
            yield Resize(height, width, mode, fill)
    for margin in range(MARGIN_STEP, max(size), MARGIN_STEP):
        yield Resize(height, width, margin=margin)


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
    """What the model gets for `paths`, as the learner prepares it: float32 (N, C, H, W)."""
    for batch in learner_loader(learner, paths, size):
        yield batch[0].as_subclass(torch.Tensor)


def _normalisation(learner: Learner) -> tuple[Triple, Triple]:
    """Of the learner's `Normalize`; without one, pixels are only divided by 255."""
    from fastai.data.transforms import Normalize

    found = [step for step in learner.dls.valid.after_batch.fs if isinstance(step, Normalize)]
    if not found:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    values = [torch.as_tensor(v).flatten().tolist() for v in (found[0].mean, found[0].std)]
    values = [v * 3 if len(v) == 1 else v for v in values]  # one number for all channels
    if len(found) > 1 or any(len(v) != 3 for v in values):
        raise BadInput("the learner normalises in another way than by three means and deviations")
    # As decimal numbers of float32: 0.485 was meant, not 0.48500001430511475.
    mean, std = (tuple(float(str(np.float32(v))) for v in value) for value in values)
    return mean, std  # type: ignore[return-value]


def _shape(batches: Sequence[NDArray[np.float32]]) -> tuple[int, int, int]:
    """Channels, height and width of all that the model gets."""
    shapes = {batch.shape for batch in batches}
    shape = min(shapes)
    if len(shapes) > 1 or len(shape) != 4 or shape[1] not in (1, 3):
        found = " or ".join(" x ".join(map(str, shape[1:])) for shape in sorted(shapes))
        raise BadInput(
            f"the learner's model gets {found} (channels x height x width); supported are three "
            "channels, or one of grey, of one size for all images"
        )
    return shape[1], shape[2], shape[3]


def _check_values(
    batches: Sequence[NDArray[np.float32]], mean: Triple, std: Triple, steps: Sequence[str]
) -> None:
    for colour, batch in zip(COLOURS, batches, strict=True):
        centre = batch[0, :, batch.shape[2] // 2, batch.shape[3] // 2]
        seen = (_grey(colour),) * 3 if len(centre) == 1 else colour
        wanted = normalise(np.array(seen, np.uint8).reshape(1, 1, 1, 3), mean, std).numpy()
        wanted = wanted.reshape(3)[: len(centre)]
        if np.abs(centre - wanted).max() > SAME:
            raise BadInput(
                f"the learner makes {[round(float(v), 4) for v in centre]} of the colour {colour}, "
                f"not {[round(float(v), 4) for v in wanted]}, which pixels / 255 and "
                f"its Normalize give; its steps are {', '.join(steps)}"
            )


def _grey(colour: tuple[int, int, int]) -> int:
    """Pillow's grey of a colour."""
    from PIL import Image

    value = Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0))
    assert isinstance(value, int)
    return value


def _words(step: object) -> str:
    """A transform's name with its size and method."""
    size, method = getattr(step, "size", None), getattr(step, "method", None)
    words = [type(step).__name__]
    if size is not None:
        words.append("x".join(str(s) for s in size) if isinstance(size, tuple) else str(size))
    if method is not None:
        words.append(str(method))
    return " ".join(words)
