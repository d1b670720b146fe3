"""A loss is judged by what it does: a softmax's does not change with the level of the logits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

pytest.importorskip("fastai")

from fastai.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    FocalLossFlat,
    L1LossFlat,
    LabelSmoothingCrossEntropy,
    MSELossFlat,
)

from pipeline.adopt.any_learner.one_label import SERVED, check_loss
from pipeline.errors import BadInput


def check(loss: object, classes: int = 3) -> None:
    check_loss(SimpleNamespace(loss_func=loss), classes)


class Own(nn.Module):
    """A loss of one's own: cross-entropy, and whatever it keeps."""

    def forward(self, logits: Tensor, truth: Tensor) -> Tensor:
        return F.cross_entropy(logits, truth) * 2


def of_probabilities(logits: Tensor, truth: Tensor) -> Tensor:
    return ((logits.softmax(1) - F.one_hot(truth, logits.shape[1])) ** 2).sum()


def of_one_hot(logits: Tensor, truth: Tensor) -> Tensor:
    if truth.shape != logits.shape:
        raise ValueError("one row of shares an image")
    return -(truth * logits.log_softmax(1)).sum()


def strange(logits: Tensor) -> Tensor:
    return logits


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropyLossFlat(),
        CrossEntropyLossFlat(weight=torch.tensor([1.0, 2.0, 3.0])),
        LabelSmoothingCrossEntropy(),
        FocalLossFlat(),
        nn.CrossEntropyLoss(),
        F.cross_entropy,
        Own(),
        of_probabilities,
        of_one_hot,
        strange,  # cannot be run here: as the learner says
    ],
    ids=lambda loss: getattr(loss, "__name__", type(loss).__name__),
)
def test_the_loss_of_a_softmax_is_welcome(loss: object) -> None:
    check(loss)
    if not getattr(loss, "func", None):
        check(loss, 2)


def own_bce(logits: Tensor, truth: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, truth.float())


def own_distance(logits: Tensor, truth: Tensor) -> Tensor:
    return (logits - F.one_hot(truth, logits.shape[1])).abs().mean()


@pytest.mark.parametrize(
    "loss",
    [
        BCEWithLogitsLossFlat(),
        MSELossFlat(),
        L1LossFlat(),
        nn.BCEWithLogitsLoss(),
        nn.MSELoss(),
        nn.MultiLabelSoftMarginLoss(),
        F.binary_cross_entropy_with_logits,
        F.mse_loss,
        own_bce,
        own_distance,
    ],
    ids=lambda loss: getattr(loss, "__name__", type(loss).__name__),
)
@pytest.mark.parametrize("classes", [2, 3])
def test_the_loss_of_several_labels_or_of_numbers_is_refused_whatever_its_form(
    loss: object, classes: int
) -> None:
    with pytest.raises(BadInput, match="does not end in a softmax") as caught:
        check(loss, classes)
    assert SERVED in str(caught.value)
