"""Can networks of an architecture be compressed at all? Their layers decide.

No weight is read, unless the checkpoint keeps the network itself.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from pipeline.compress.gptq import weighted_layers
from pipeline.errors import BadInput
from pipeline.models.networks import build_network, load_network

if TYPE_CHECKING:
    from torch import nn

    from pipeline.checkpoint import Checkpoint


def refusal_of(checkpoint: Checkpoint) -> str:
    """Why this checkpoint cannot be compressed; empty if it can."""
    if checkpoint.program_sha256 is None:
        return refusal(checkpoint.spec.architecture)
    return _refusal(load_network(checkpoint))


@cache
def refusal(architecture: str) -> str:
    """Why networks of this architecture cannot be compressed; empty if they can."""
    import torch

    with torch.device("meta"):  # shapes only
        network = build_network(architecture, classes=2)
    return _refusal(network)


def _refusal(network: nn.Module) -> str:
    try:
        weighted_layers(network)
    except BadInput as error:
        return str(error)
    return ""
