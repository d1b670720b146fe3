"""The fastai part of training: frozen body first, then fine-tuning.

In: data set, network, configuration. Out: the trained network, the history of the epochs and the
probabilities of the validation images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pipeline.data.loaders import build_loaders
from pipeline.metrics import classification as metrics
from pipeline.metrics.calibration import Calibration, calibrate
from pipeline.metrics.epoch_lines import for_a_log
from pipeline.mixed_precision import chosen_arithmetic, half_precision
from pipeline.training.consistency import ConsistentLoss
from pipeline.training.distributed import alone, rank, share_weights, shared_training
from pipeline.training.frozen_features import HeadAlone, feature_loaders
from pipeline.training.weight_averaging import weight_averaging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner, Metric
    from numpy.typing import NDArray

    from pipeline.config import TrainConfig
    from pipeline.data.dataset import Dataset


@dataclass(frozen=True)
class EpochFigures:
    """Figures of one epoch; recall is at the most probable class, the threshold comes later."""

    stage: str
    train_loss: float
    valid_loss: float
    accuracy: float
    recall: float
    auroc: float


@dataclass(frozen=True)
class Fit:
    """What training leaves: history, and the final model's outputs for the valid images."""

    history: Sequence[EpochFigures]
    truth: NDArray[np.int64]  # (N,)
    probs: NDArray[np.float32]  # (N, K)
    calibration: Calibration | None = None  # None: not asked for

    @property
    def temperature(self) -> float:
        """That the logits were divided by, in the network's last layer."""
        return self.calibration.temperature if self.calibration else 1.0


def fit(
    network: nn.Module,
    dataset: Dataset,
    positive: int | None,
    config: TrainConfig,
    *callbacks: Callback,
) -> Fit:
    """Train `network` in place, in two stages, with fastai's one-cycle schedule.

    While the body is frozen its features are computed once and the head learns on those
    (`pipeline.training.frozen_features`). The random state is set from `config.seed` first: the
    same machine, thread count and versions give the same numbers. `callbacks` are fastai's; they
    watch both stages.
    """
    from fastai.basics import set_seed

    set_seed(config.seed, reproducible=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    loaders = build_loaders(dataset, config)
    # Channels-last: a training step in two thirds of the time on a CPU.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    share_weights(network)
    history: list[EpochFigures] = []
    if config.frozen_epochs:
        features = feature_loaders(network.body, loaders, config)  # type: ignore[arg-type]
        head_alone = HeadAlone(network.head, features.train_ds.tensors[0])  # type: ignore[arg-type]
        head = _learner(features, head_alone, positive, config, callbacks)
        with alone():  # a matter of seconds, and the same in every process
            head.fit_one_cycle(config.frozen_epochs, config.frozen_lr)
        head_alone.fold()
        history += _epochs("frozen", head)
    learner = _learner(loaders, network, positive, config, [*_callbacks(config), *callbacks])
    if config.finetune_epochs:
        peaks = slice(config.finetune_lr * config.body_lr_factor, config.finetune_lr)
        with shared_training(learner, config.seed):
            learner.fit_one_cycle(config.finetune_epochs, peaks)
        history += _epochs("fine-tuned", learner)
    network.eval()
    with learner.no_bar(), learner.no_logging(), alone():
        answers, classes = learner.get_preds(ds_idx=1, act=lambda logits: logits)
    truth = np.asarray(classes, dtype=np.int64)
    calibration = None
    if config.calibrate and torch.isfinite(answers).all():
        patients = [sample.patient_or_file for sample in dataset.valid]
        calibration = calibrate(answers.numpy(), truth, patients, dataset.labels)
        divide_logits(network, calibration.temperature)
        answers = answers / calibration.temperature
    probs = torch.softmax(answers, dim=1)
    return Fit(history, truth, np.asarray(probs, dtype=np.float32), calibration)


def divide_logits(network: nn.Module, temperature: float) -> None:
    """Divide the last layer of `network.head`, in place; it costs the exported graph nothing."""
    last = list(network.head.children())[-1]  # type: ignore[union-attr]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.div_(temperature)


def _learner(
    loaders: DataLoaders,
    network: nn.Module,
    positive: int | None,
    config: TrainConfig,
    callbacks: Sequence[Callback] = (),
) -> Learner:
    # Importing these two gives every Learner its schedules and its progress bar.
    import fastai.callback.progress
    import fastai.callback.schedule  # noqa: F401
    from fastai.learner import Learner
    from fastai.losses import LabelSmoothingCrossEntropyFlat

    loss = LabelSmoothingCrossEntropyFlat(eps=config.label_smoothing)
    learner = Learner(
        loaders,
        network,
        loss_func=ConsistentLoss(loss, config.consistency) if config.consistency else loss,
        metrics=_metrics(positive),
        splitter=_body_and_head,
        wd=config.weight_decay,
        cbs=list(callbacks),
    )
    return for_a_log(learner, silent=rank() > 0)


def _callbacks(config: TrainConfig) -> list[Callback]:
    """What the recipe adds to the second stage."""
    callbacks = []
    if config.mixup:
        from fastai.callback.mixup import MixUp

        callbacks.append(MixUp(config.mixup))
    if config.averaging:
        callbacks.append(weight_averaging(config.averaging))
    if chosen_arithmetic(config.arithmetic) == "bf16":
        callbacks.append(half_precision())
    return callbacks


def _body_and_head(network: nn.Module) -> list[list[nn.Parameter]]:
    """Fastai's parameter groups, each with a learning rate of its own; a head alone is one."""
    parts = [getattr(network, name, None) for name in ("body", "head")]
    return [list(part.parameters()) for part in parts if part is not None]


def _metrics(positive: int | None) -> list[Metric]:
    """Our figures as fastai metrics over the whole validation split."""
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import AccumMetric

    def figure(name: str) -> Metric:
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


def _epochs(stage: str, learner: Learner) -> list[EpochFigures]:
    return [EpochFigures(stage, *(float(v) for v in row[:5])) for row in learner.recorder.values]
