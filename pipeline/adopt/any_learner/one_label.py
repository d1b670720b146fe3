"""One label an image, with a softmax: what a learner must have been trained for to be served.

In: a learner. Out: nothing, or a refusal. A loss is judged by what it does and not by its name: a
softmax does not change if the same number is added to all logits of an image, so its loss does not
either; that of a sigmoid for each label, or of a distance, does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import torch

from pipeline.errors import BadInput

if TYPE_CHECKING:
    from fastai.learner import Learner
    from torch import Tensor

SERVED: Final = (
    "served is one label an image, with a softmax over all labels; not several labels an image, "
    "nor numbers"
)
LEVEL: Final = 1.5  # added to all logits of an image
OTHERS: Final = ("BCE", "MSE", "L1")  # names of losses that cannot be run here


def check_targets(learner: Learner) -> None:
    """Raise `BadInput` for a learner whose data give an image several labels, or numbers."""
    from fastai.data.transforms import EncodedMultiCategorize, MultiCategorize, RegressionSetup

    for made in getattr(learner.dls, "tls", ()):
        for step in made.tfms.fs:
            if isinstance(step, (MultiCategorize, EncodedMultiCategorize)):
                raise BadInput(f"its {type(step).__name__} gives an image several labels; {SERVED}")
            if isinstance(step, RegressionSetup):
                raise BadInput(f"its {type(step).__name__} gives an image numbers; {SERVED}")


def check_loss(learner: Learner, classes: int) -> None:
    """Raise `BadInput` for a learner whose loss is not that of a softmax over the classes."""
    loss = learner.loss_func
    if not (_is_softmax(loss) and _ignores_level(loss, classes)):
        named = getattr(loss, "__name__", "") or str(loss)
        raise BadInput(f"its loss {named} does not end in a softmax; {SERVED}")


def _is_softmax(loss: object) -> bool:
    """Whether its activation is a softmax, where it has one, as fastai's losses do."""
    activation = getattr(loss, "activation", None)
    if activation is None:
        return not type(loss).__name__.startswith(OTHERS)
    logits = torch.tensor([[0.3, -1.2, 2.0], [0.0, 0.5, -0.5]])
    answer = torch.as_tensor(activation(logits))
    return answer.shape == logits.shape and torch.allclose(answer, logits.softmax(1))


def _ignores_level(loss: object, classes: int) -> bool:
    """Whether the loss stays the same on another level; yes where it cannot be run here."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(classes + 1, classes, generator=generator)  # as many rows fit no mistake
    levels = LEVEL * (torch.arange(classes + 1) % 3 + 1)[:, None]
    truth = torch.arange(classes + 1) % classes
    for target in (truth, torch.nn.functional.one_hot(truth, classes).float()):
        try:
            one, other = _losses(loss, (logits, logits + levels), target)
        except Exception:  # a loss of the user's own making, or targets of another kind
            continue
        return torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    return True


def _losses(loss: object, answers: tuple[Tensor, Tensor], target: Tensor) -> Iterator[Tensor]:
    assert callable(loss)
    run = copy.deepcopy(loss)  # some keep what they have seen
    with torch.no_grad():
        return iter([torch.as_tensor(run(answer, target)).float() for answer in answers])
