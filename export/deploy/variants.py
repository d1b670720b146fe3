"""The PyTorch models that artifacts are made from and compared with: a checkpoint's variants.

A variant is the deploy graph of the checkpoint itself or of a compressed one in a folder inside it
(`python -m pipeline compress`). One such folder may give two variants: with activations rounded to
8 bits too, and with rounded weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from export.deploy.graph import DeployGraph, with_evidence
from pipeline.compress.activation_quantization import int8_variant
from pipeline.compress.gptq import weighted_layers
from pipeline.errors import BadInput
from pipeline.models.networks import build_network, load_network

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint


@dataclass(frozen=True)
class Variant:
    """The source of a variant.

    Attributes:
        folder: of the compressed checkpoint inside the checkpoint; empty: the checkpoint itself.
        activations: whether its activations are rounded too.
    """

    folder: str
    activations: bool = False


VARIANTS: Final[Mapping[str, Variant]] = {
    "fp32": Variant(""),
    "int8": Variant("int8", activations=True),
    "w8": Variant("int8"),
    "w4": Variant("w4"),
    "w3": Variant("w3"),
}


def variant_checkpoint(checkpoint: Checkpoint, variant: str) -> Checkpoint:
    """The checkpoint that a variant is made from: one inside `checkpoint`, or itself.

    Raises:
        BadInput: it is missing, damaged, or compressed from another checkpoint.
    """
    folder = VARIANTS[variant].folder
    return checkpoint.variant(folder) if folder else checkpoint


def missing_variant(checkpoint: Checkpoint, variant: str) -> str:
    """Why there is no such variant and how to make it; empty if there is one."""
    precision = VARIANTS[variant].folder
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


def variant_graph(checkpoint: Checkpoint, variant: str = "fp32") -> DeployGraph:
    """A variant's deploy graph in evaluation mode.

    Raises:
        BadInput: it is missing, damaged, or compressed from another checkpoint.
    """
    held = variant_checkpoint(checkpoint, variant)
    network, grids = load_network(held), held.grids()
    if VARIANTS[variant].activations:
        assert held.spec.compression is not None
        try:
            network = int8_variant(with_evidence(network), held.spec.compression.activations, grids)
        except KeyError as error:
            raise BadInput(f"{held.folder} has no scale for {error}; compress again") from error
    return DeployGraph(network, held.spec, grids).eval()
