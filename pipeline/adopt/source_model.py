"""The model to adopt: its own module in PyTorch, and what is known about it.

In: what was asked for, and a file of `learn.save` or `learn.export`. Out: `Original`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.architecture_names import canonical
from pipeline.config import TrainConfig
from pipeline.data.owners_words import OwnersWords
from pipeline.errors import BadInput
from pipeline.resize.notation import require_size, resize_by
from pipeline.resize.rule import Resize, Size

if TYPE_CHECKING:
    from fastai.learner import Learner
    from torch import nn

    from pipeline.adopt.learner_preprocessing import LearnerPixels
    from pipeline.adopt.recognition import Recognised

WHOLE_LEARNER: Final = (
    "A whole learner tells more than its weights: adopt the file of `learn.export` with "
    "--trust-pickle, or the learner in memory (pipeline.api.adopt), whose own module is followed. "
    "Of a network of torchvision, fastai or timm, --architecture says which, and you are told what "
    "differs"
)


@dataclass(frozen=True)
class Adoption:
    """The request.

    Attributes:
        source: the file. ``.pkl``: an exported learner; otherwise weights.
        architecture: of weights; None: as recognised.
        labels: of weights, K class names in the order of the outputs.
        positive, threshold: as in `ModelSpec`; None: chosen here.
        side: of weights; None: 224. Of a learner it must be its own.
        resize: of weights, how images became the input (`pipeline.resize.notation.resize_by`).
        mean, std: of weights; None: ImageNet's.
        name: of the model; None: architecture and file name.
        model_version: goes into the checkpoint.
        data: images to compare and measure on.
        out: folder of the checkpoint; None: ``build/checkpoints/<name>``.
        trust_pickle: an exported learner may be opened, which runs the code in it.
        overwrite: replace `out` if it exists.
        in_memory: `source` was written for this adoption, of a learner in memory.
        words: what the owner says of the model.
        group_column: of the table of images; see `pipeline.data.dataset.read_dataset`.
    """

    source: Path
    architecture: str | None = None
    labels: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    side: Size | None = None
    resize: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    name: str | None = None
    model_version: str = "0.0.0"
    data: Path | None = None
    out: Path | None = None
    trust_pickle: bool = False
    overwrite: bool = False
    in_memory: bool = False
    words: OwnersWords = field(default_factory=OwnersWords)
    group_column: str | None = None


@dataclass(frozen=True)
class Original:
    """The learner's own model, and what is known about it.

    Attributes:
        model: in evaluation mode, float32.
        found: its architecture, and the kind of its state; None: not recognised.
        not_found: why it was not recognised.
        learner: whole, of an exported one; None of weights.
        pixels: as the learner reads an image; None of weights.
    """

    model: nn.Module
    found: Recognised | None
    labels: tuple[str, ...]
    resize: Resize
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    learner: Learner | None = None
    pixels: LearnerPixels | None = None
    not_found: str = ""

    @property
    def grey(self) -> bool:
        """Whether the learner's own model gets one channel."""
        return self.pixels is not None and self.pixels.grey

    @property
    def called(self) -> str:
        """Its architecture, or the class of its module."""
        own = self.model if self.learner is None else self.learner.model
        return self.found.architecture if self.found else type(own).__name__


def check_request(request: Adoption) -> None:
    """Raise `BadInput` for what can be refused before the file is opened."""
    from pipeline.adopt.learner_file import UNTRUSTED, is_learner

    if not request.source.is_file():
        raise BadInput(f"{request.source} is no file")
    if request.name is not None and not (request.name.isidentifier() and request.name.isascii()):
        raise BadInput(f"--name {request.name!r}: letters, digits and underscores, please")
    if request.threshold is not None and not 0 < request.threshold < 1:
        raise BadInput(f"--threshold {request.threshold} is not between 0 and 1")
    if request.side is not None or request.resize is not None:
        require_size(resize_by(request.resize or "squish", request.side or TrainConfig().side))
    if is_learner(request.source):
        if not request.trust_pickle:
            raise BadInput(f"{request.source} {UNTRUSTED}")
        for option in ("architecture", "labels", "resize", "mean", "std"):
            if getattr(request, option):
                raise BadInput(f"--{option} is read from {request.source.name}; leave it out")
        return
    if request.trust_pickle:
        raise BadInput("--trust-pickle is for an exported learner (.pkl); weights need no trust")
    if request.architecture is not None:
        canonical(request.architecture)
    if not request.labels:
        raise BadInput("weights bring no labels: give --labels A,B in the order of the outputs")
    for value in [*(request.mean or ()), *(request.std or ())]:
        if not np.isfinite(value):
            raise BadInput(f"--mean and --std: {value} is not a finite number")
    if request.std is not None and min(request.std) <= 0:
        raise BadInput(f"--std {request.std}: every value must be above 0")
    _check_labels(request.labels)


def open_original(request: Adoption) -> Original:
    """The model in the file that `request`, which was checked, names.

    Raises:
        BadInput: the file cannot be read, or what is in it is not supported.
    """
    from pipeline.adopt.learner_file import is_learner

    return _from_learner(request) if is_learner(request.source) else _from_weights(request)


def _from_weights(request: Adoption) -> Original:
    """A fresh fastai model, filled from the file."""
    from pipeline.adopt.any_learner.grey import is_grey, state_of_colours
    from pipeline.adopt.fastai_network import original_model
    from pipeline.adopt.learner_file import read_state
    from pipeline.adopt.recognition import recognise
    from pipeline.models.start import IMAGENET_MEAN, IMAGENET_STD

    state = read_state(request.source)
    grey = is_grey(state)
    if grey:
        print("weights: of one channel; images are turned to grey as Pillow does (L)")
        _check_one_normalisation(request)
        state = state_of_colours(state)
    try:
        found = recognise(state, request.architecture, request.source.stem)
        model = original_model(found, state)
    except BadInput as error:
        raise BadInput(f"{request.source}: {error}. {WHOLE_LEARNER}") from error
    side = request.side or TrainConfig().side
    # fastai normalises a model of one channel by no numbers of ImageNet's, which are three.
    usual = ((0.0,) * 3, (1.0,) * 3) if grey else (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = request.mean or usual[0], request.std or usual[1]
    method = request.resize or "squish"
    for option, value in (("side", side), ("resize", method), ("mean", mean), ("std", std)):
        if getattr(request, option) is None:
            print(f"--{option} not given: {value} (a file of weights does not say)")
    print("each image has one of the labels: a softmax (a file of weights does not say)")
    return Original(model, found, request.labels, resize_by(method, side), mean, std)


def _check_one_normalisation(request: Adoption) -> None:
    """Of grey images there is one mean and one deviation."""
    for option in ("mean", "std"):
        if len(set(getattr(request, option) or (0,))) > 1:
            raise BadInput(
                f"--{option} {getattr(request, option)}: the weights are of one channel, and its "
                "number is to be given three times"
            )


def _from_learner(request: Adoption) -> Original:
    """Everything that an exported learner declares."""
    from pipeline.adopt.any_learner.grey import NOTE, FromColours
    from pipeline.adopt.any_learner.one_label import check_loss, check_targets
    from pipeline.adopt.learner_file import read_learner
    from pipeline.adopt.learner_preprocessing import read_pixels
    from pipeline.adopt.recognition import recognise

    learner = read_learner(request.source)
    try:
        check_targets(learner)
        labels = _vocabulary(learner)
        check_loss(learner, len(labels))
        model = learner.model.float().eval()
        pixels = read_pixels(learner)
        found, not_found = None, NOTE
        if pixels.grey:
            print(f"NOTE: {NOTE}")
            model = FromColours(model)
        else:
            try:
                found = recognise(model.state_dict(), hint=request.source.stem, model=model)
            except BadInput as error:
                not_found = str(error)
        require_size(pixels.resize)
    except BadInput as error:
        raise BadInput(f"{request.source}: {error}") from error
    resize = pixels.resize
    if request.side not in (None, resize.side):
        raise BadInput(
            f"--side {request.side}: the learner's model gets {resize.pixels} (width x height)"
        )
    return Original(
        model, found, labels, resize, pixels.mean, pixels.std, learner, pixels, not_found
    )


def _vocabulary(learner: Learner) -> tuple[str, ...]:
    from pipeline.adopt.any_learner.one_label import SERVED

    vocabulary = getattr(learner.dls, "vocab", None)
    plain = (str, bool, int, float, np.generic)
    if vocabulary is None or not all(isinstance(label, plain) for label in vocabulary):
        raise BadInput(
            f"the learner has no one list of labels (dls.vocab); it is no classifier; {SERVED}"
        )
    labels = tuple(str(label) for label in vocabulary)
    _check_labels(labels)
    return labels


def _check_labels(labels: tuple[str, ...]) -> None:
    if len(labels) < 2 or len(set(labels)) < len(labels) or not all(labels):
        raise BadInput(f"labels {', '.join(labels)}: two or more are needed, each another name")
