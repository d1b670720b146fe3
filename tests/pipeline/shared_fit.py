"""``python -m tests.pipeline.shared_fit DATA OUT``: a training without anything random in it.

Alone or under a launcher; what each process has at the end goes to OUT, named by its rank.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.config import TrainConfig
from pipeline.data.dataset import read_dataset
from pipeline.models.networks import build_network
from pipeline.training.distributed import process_group, rank
from pipeline.training.learner import fit
from tests.conftest import SIDE

PLAIN = TrainConfig(
    side=SIDE,
    batch_size=8,
    frozen_epochs=1,
    finetune_epochs=2,
    weights="none",
    threads=1,
    rotate_deg=0.0,
    zoom=1.0,
    lighting=0.0,
    flip=False,
    arithmetic="fp32",  # halves of a batch are summed otherwise than the whole: bf16 would show it
)


def main(data: Path, out: Path) -> None:
    torch.manual_seed(rank())  # the first one's weights are what counts
    network = build_network("squeezenet1_1", 2)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with process_group():
        result = fit(network, read_dataset(data), 0, PLAIN)
        weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(weights, out / f"{rank()}.safetensors")
        (out / f"{rank()}.draw").write_text(str(torch.rand(1).item()))
        losses = [[epoch.train_loss, epoch.valid_loss] for epoch in result.history]
        np.savez(out / f"{rank()}.npz", probs=result.probs, truth=result.truth, losses=losses)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
