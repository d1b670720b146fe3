"""A fit of one epoch on a few images."""

from __future__ import annotations

from dataclasses import replace

import torch

from pipeline.config import TrainConfig
from pipeline.data.dataset import Dataset
from pipeline.models.networks import build_network
from pipeline.training.learner import Fit, fit
from tests.conftest import SIDE

RECIPE = TrainConfig(
    side=SIDE, batch_size=8, frozen_epochs=0, finetune_epochs=1, threads=1, arithmetic="fp32"
)


def network(architecture: str = "squeezenet1_1") -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(architecture, 2)


def fitted(dataset: Dataset, **changes: object) -> tuple[torch.nn.Module, Fit]:
    trained = network()
    return trained, fit(trained, dataset, 0, replace(RECIPE, **changes))
