"""Can networks of an architecture be compressed at all? Their layers decide, no weight is read."""

from __future__ import annotations

from functools import cache

from pipeline.compress.gptq import weighted_layers
from pipeline.errors import BadInput
from pipeline.models.networks import build_network


@cache
def refusal(architecture: str) -> str:
    """Why networks of this architecture cannot be compressed; empty if they can."""
    import torch

    with torch.device("meta"):  # shapes only
        network = build_network(architecture, classes=2)
    try:
        weighted_layers(network)
    except BadInput as error:
        return str(error)
    return ""
