"""The PyTorch models that artifacts are made from and held against: a checkpoint and its twins.

A twin is the deploy graph of a compressed checkpoint, which lies in a folder of the checkpoint's
own (`python -m pipeline compress`). One such folder may give two: with its activations rounded to
8 bits, and with its weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from export.deploy.graph import DeployGraph, with_evidence
from pipeline.compress.activation_quantization import int8_twin
from pipeline.compress.gptq import weighted_layers
from pipeline.errors import BadInput
from pipeline.models.networks import build_network, load_network

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint


@dataclass(frozen=True)
class Twin:
    """Where a twin comes from.

    Attributes:
        folder: of the compressed checkpoint inside the checkpoint; empty: the checkpoint itself.
        activations: whether its activations are rounded too.
    """

    folder: str
    activations: bool = False


TWINS: Final[Mapping[str, Twin]] = {
    "fp32": Twin(""),
    "int8": Twin("int8", activations=True),
    "w8": Twin("int8"),
    "w4": Twin("w4"),
    "w3": Twin("w3"),
}


def twin_checkpoint(checkpoint: Checkpoint, twin: str) -> Checkpoint:
    """The checkpoint that a twin is made of: one inside `checkpoint`, or itself.

    Raises:
        BadInput: it is not there, damaged, or compressed from another one than it lies in.
    """
    folder = TWINS[twin].folder
    return checkpoint.variant(folder) if folder else checkpoint


def missing_twin(checkpoint: Checkpoint, twin: str) -> str:
    """Why there is no such twin and what makes it; empty if there is one."""
    precision = TWINS[twin].folder
    if not precision or checkpoint.has_variant(precision):
        return ""
    lacking = f"{checkpoint.folder} is not compressed to {precision}"
    refused = _refused(checkpoint.spec.architecture)
    if refused:
        return f"{lacking}, and cannot be: {refused}"
    return f"{lacking}; `python -m pipeline compress {checkpoint.folder} --data PLACE` does it"


@cache
def _refused(architecture: str) -> str:
    """Why networks of this architecture cannot be compressed; empty if they can."""
    import torch

    with torch.device("meta"):  # shapes only
        network = build_network(architecture, classes=2)
    try:
        weighted_layers(network)
    except BadInput as error:
        return str(error)
    return ""


def twin_graph(checkpoint: Checkpoint, twin: str = "fp32") -> DeployGraph:
    """A twin's deploy graph in evaluation mode.

    Raises:
        BadInput: no checkpoint there, damaged, or compressed from another one than it lies in.
    """
    held = twin_checkpoint(checkpoint, twin)
    network, grids = load_network(held), held.grids()
    if TWINS[twin].activations:
        assert held.spec.compression is not None
        try:
            network = int8_twin(with_evidence(network), held.spec.compression.activations, grids)
        except KeyError as error:
            raise BadInput(f"{held.folder} has no scale for {error}; compress again") from error
    return DeployGraph(network, held.spec, grids).eval()
