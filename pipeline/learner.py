"""The fastai part of training: frozen body first, then fine-tuning.

In: data set, network, configuration. Out: the trained network, the history of the epochs and the
probabilities of the validation images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pipeline import metrics
from pipeline.loaders import build_loaders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.config import TrainConfig
    from pipeline.dataset import Dataset


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch; recall is at the most probable class, the threshold comes later."""

    stage: str
    train_loss: float
    valid_loss: float
    accuracy: float
    recall: float
    auroc: float


@dataclass(frozen=True)
class Fit:
    """What training leaves behind: history, and the final model's answers on the valid images."""

    history: Sequence[Epoch]
    truth: NDArray[np.int64]  # (N,)
    probs: NDArray[np.float32]  # (N, K)


def fit(
    network: nn.Module,
    dataset: Dataset,
    positive: int | None,
    config: TrainConfig,
    *callbacks: Any,
) -> Fit:
    """Train `network` in place, in two stages, with fastai's one-cycle schedule.

    `callbacks` are fastai's; they watch both stages.

    The random state is set from `config.seed` first: the same machine, thread count and versions
    give the same numbers.
    """
    # Importing these two gives every Learner its schedules and its progress bar.
    import fastai.callback.progress
    import fastai.callback.schedule  # noqa: F401
    from fastai.basics import set_seed
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat

    set_seed(config.seed, reproducible=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    learner = Learner(
        build_loaders(dataset, config),
        # Channels-last: a training step in two thirds of the time on a CPU.
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        loss_func=CrossEntropyLossFlat(),
        metrics=_metrics(positive),
        splitter=_body_and_head,
        wd=config.weight_decay,
        cbs=list(callbacks),
    )
    history: list[Epoch] = []
    if config.frozen_epochs:
        learner.freeze()
        learner.fit_one_cycle(config.frozen_epochs, config.frozen_lr)
        history += _epochs("frozen", learner)
    if config.finetune_epochs:
        learner.unfreeze()
        peaks = slice(config.finetune_lr * config.body_lr_factor, config.finetune_lr)
        learner.fit_one_cycle(config.finetune_epochs, peaks)
        history += _epochs("fine-tuned", learner)
    network.eval()
    with learner.no_bar():
        probs, truth = learner.get_preds(ds_idx=1)
    return Fit(
        history,
        np.asarray(truth, dtype=np.int64),
        np.asarray(probs, dtype=np.float32),
    )


def _body_and_head(network: Any) -> list[list[nn.Parameter]]:
    """Fastai's parameter groups: `freeze()` keeps all but the last from learning."""
    return [list(network.body.parameters()), list(network.head.parameters())]


def _metrics(positive: int | None) -> list[Any]:
    """Our figures as fastai metrics over the whole validation split."""
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import AccumMetric

    def figure(name: str) -> Any:
        def value(logits: torch.Tensor, truth: torch.Tensor) -> float:
            probs = CrossEntropyLossFlat().activation(logits).detach().cpu().numpy()
            classes = truth.detach().cpu().numpy()
            if name == "auroc":
                return metrics.auroc(classes, probs, positive)
            decision = probs.argmax(1)
            if name == "recall":
                return metrics.recall(classes, decision, positive)
            return metrics.accuracy(classes, decision)

        value.__name__ = name
        return AccumMetric(value, name=name, flatten=False)

    return [figure(name) for name in ("accuracy", "recall", "auroc")]


def _epochs(stage: str, learner: Any) -> list[Epoch]:
    return [Epoch(stage, *(float(v) for v in row[:5])) for row in learner.recorder.values]
