"""From image file to probabilities: the learner's own predictions, and what apps will get.

In: a learner, the adopted network and image files. Out: how far the two ways are apart, or a
refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.adopt.equivalence import BATCH, TOLERANCE, file_tensors, in_double, logits, softmax
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pipeline.adopt.source_model import Original

# `aug_transforms()` passes validation images, too, through an interpolation that leaves them where
# they are: the learner's input is then not its image's 8-bit pixels to float32, but nearly.
INTERPOLATED_LEVELS: Final = 1e-4  # of 0 to 255, from here on: more than float32 rounds
INTERPOLATED_TOLERANCE: Final = 1e-4  # of any probability


@dataclass(frozen=True)
class EndToEnd:
    """Both ways compared.

    Attributes:
        images: N.
        max_abs_diff: of any probability.
        input_levels: how far the learner's own tensors are from the pixels that apps make, at most,
            in levels of 0 to 255.
    """

    images: int
    max_abs_diff: float
    input_levels: float

    @property
    def allowed(self) -> float:
        """The limit of `max_abs_diff`."""
        from pipeline.adopt.learner_preprocessing import SAME_LEVELS

        interpolated = INTERPOLATED_LEVELS < self.input_levels <= SAME_LEVELS
        return INTERPOLATED_TOLERANCE if interpolated else TOLERANCE

    def __str__(self) -> str:
        why = "; its transforms interpolate" if self.allowed > TOLERANCE else ""
        return (
            f"max |Δp| {self.max_abs_diff:.1e} (limit {self.allowed:.0e}{why}), its input within "
            f"{self.input_levels:.1g} of 255 levels, {self.images} images"
        )


def end_to_end(
    original: Original, network: nn.Module, paths: list[Path], what: str
) -> EndToEnd | None:
    """Compare the learner's own predictions of image files with the adopted network's.

    None, if the network does not even give the learner's probabilities for the learner's own
    tensors: then its predictions are not its model's alone.

    Raises:
        BadInput: on its own tensors they agree, and from the files they do not: its loader reads or
            resizes a file in another way than the apps will.
    """
    theirs = _own_predictions(original, paths)
    same, apart, levels = _apart(original, network, paths, theirs)
    if not (same <= TOLERANCE and apart.max() <= TOLERANCE):  # it may be float32's rounding
        theirs = _rounded_less(original, paths, theirs)
        same, apart, levels = _apart(original, in_double(network), paths, theirs)
    worst = int(np.argmax(np.where(np.isfinite(apart), apart, np.inf)))
    found = EndToEnd(len(paths), float(apart[worst]), levels)
    print(f"{what}, from file to probabilities, the learner's own and ours: {found}")
    if not same <= TOLERANCE:
        return None
    if not found.max_abs_diff <= found.allowed:
        count = int((~(apart <= found.allowed)).sum())
        raise BadInput(
            f"{paths[worst]}: the learner's own prediction and that of the adopted network differ "
            f"by |Δp| {found.max_abs_diff:.1e}, allowed are {found.allowed:.0e}; {count} of "
            f"{len(paths)} images do. {_why(paths[worst], found.input_levels, original)}"
        )
    return found


def _apart(
    original: Original, network: nn.Module, paths: list[Path], theirs: NDArray[np.float32]
) -> tuple[float, NDArray[np.float32], float]:
    """How far the network is from the learner's predictions: (same, apart, levels).

    `same`: at most, on the learner's own tensors. `apart`, float32 (N,): from each file on.
    `levels`: how far the tensors are apart, at most.
    """
    on_same, ours, levels = [], [], []
    for own, made in _both_tensors(original, paths):
        on_same.append(softmax(logits(network, [own])))
        ours.append(softmax(logits(network, [made])))
        levels.append(float(_levels_apart(own, made, original).max()))
    same = float(np.abs(np.concatenate(on_same) - theirs).max())
    return same, np.abs(np.concatenate(ours) - theirs).max(axis=1), max(levels)


def _rounded_less(
    original: Original, paths: list[Path], theirs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The learner's predictions by its model in float64, if they are its model's alone."""
    own = [own for own, _ in _both_tensors(original, paths)]
    again = softmax(logits(original.model, own))
    if not np.abs(again - theirs).max() <= TOLERANCE:
        return theirs
    return softmax(logits(in_double(original.model), own))


def _own_predictions(original: Original, paths: list[Path]) -> NDArray[np.float32]:
    """The learner's own `get_preds`, by its own transforms: float32 (N, K)."""
    import fastai.callback.progress  # noqa: F401 - gives every Learner its `no_bar`

    from pipeline.adopt.learner_preprocessing import learner_loader

    learner = original.learner
    assert learner is not None
    activation = None if hasattr(learner.loss_func, "activation") else _activation
    with learner.no_bar(), learner.no_logging():
        loader = learner_loader(learner, paths, BATCH)
        probs = learner.get_preds(dl=loader, act=activation)[0]
    return np.asarray(probs, dtype=np.float32)


def _both_tensors(original: Original, paths: list[Path]) -> Iterator[tuple[Tensor, Tensor]]:
    """The learner's own tensors of the files, and those of the checkpoint's resize."""
    from pipeline.adopt.learner_preprocessing import learner_batches

    assert original.learner is not None
    own = learner_batches(original.learner, paths, BATCH)
    in_colours = (batch.expand(-1, 3, -1, -1) for batch in own)  # one of grey, three times
    return zip(in_colours, file_tensors(paths, original), strict=True)


def _levels_apart(own: Tensor, made: Tensor, original: Original) -> NDArray[np.float64]:
    """By channel, in levels of 0 to 255."""
    apart = (own - made).abs().amax((0, 2, 3)).numpy()
    return np.asarray(apart * np.array(original.std) * 255)


def _why(path: Path, levels: float, original: Original) -> str:
    """Why a file is predicted otherwise, though the drawn files are not."""
    from fastai.vision.core import PILImage

    from pipeline.adopt.learner_preprocessing import SAME_LEVELS
    from pipeline.images import read_whole

    theirs, ours = np.asarray(PILImage.create(path)), np.asarray(read_whole(path))
    if theirs.shape != ours.shape or not np.array_equal(theirs, ours):
        return (
            "Its pixels differ before any resize: fastai ignores an EXIF orientation, drops "
            "transparency and cuts 16-bit grey off at 255; apps turn, paint onto black and scale. "
            "Store such images upright, opaque and in 8 bits, or leave --data out"
        )
    if original.grey and np.ptp(ours, axis=2).any():
        return (
            "It is in colour, and the learner turns it to grey before it resizes it; apps can only "
            "do that afterwards. Store such images in grey, or leave --data out"
        )
    if levels <= SAME_LEVELS:
        return "It is read and resized the same: the network enlarges differences of rounding"
    return "It is read the same; the learner's transforms treat it otherwise than the drawn files"


def _activation(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1)
