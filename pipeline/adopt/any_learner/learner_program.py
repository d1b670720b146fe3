"""A model of any make becomes a program: its own module is followed.

In: a module, float32 (N, 3, H, W) normalised -> logits (N, K). Out: its program, as a checkpoint
keeps it and as it is read again. Batch norms and scales are folded into layers beside them, and a
head that is one dense layer behind the mean over all places gets a map of evidence; what is
computed stays the same but for rounding, and whoever adopts it proves that.
"""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Final

from pipeline.adopt.any_learner.classes_before_pool import classes_before_pool
from pipeline.adopt.any_learner.layer_names import named_by_layer
from pipeline.adopt.any_learner.norm_before_dense import norms_into_dense
from pipeline.adopt.any_learner.plain_copy import plain_copy
from pipeline.adopt.any_learner.scale_into_layer import scales_into_layers
from pipeline.errors import BadInput
from pipeline.program.batch_norm_folding import folded
from pipeline.program.capture import capture
from pipeline.program.program import shapes
from pipeline.program.reading import program_of
from pipeline.program.writing import document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from pipeline.program.program import Program


STEPS: Final = (
    folded,
    norms_into_dense,
    scales_into_layers,
    classes_before_pool,
    named_by_layer,
)


def learner_program(model: nn.Module, size: tuple[int, int], classes: int) -> Program:
    """The program of `model` for images of this height and width.

    Raises:
        BadInput: it cannot be followed, an operation has no place in a program, or it does not
            answer one number for each of `classes`.
    """
    with _quietly():
        found = _captured(model, size)
    logits, *more = found.outputs()
    shape = shapes(found, images=2)[logits]
    if more or len(shape) != 2 or shape[0] != 2:
        what = "several tensors" if more else f"a tensor of {shape} for two images"
        raise BadInput(f"the model answers {what}, not a row of one number for each label")
    if shape[1] != classes:
        raise BadInput(f"the model has {shape[1]} outputs, and there are {classes} labels")
    for step in STEPS:
        found = step(found)
    return program_of(document(found), found.tensors(), "the model's program")


def _captured(model: nn.Module, size: tuple[int, int]) -> Program:
    try:
        return capture(plain_copy(model), size)
    except BadInput as error:
        if "DataDependent" not in str(error):
            raise
        raise BadInput(
            "its forward decides by what is in an image (an `if` on a tensor), and no list of "
            "operations does; write that as arithmetic, such as torch.where"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the pages that torch prints about what it cannot follow."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
