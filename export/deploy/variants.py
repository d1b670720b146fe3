"""The PyTorch models that artifacts are made from and compared with: a checkpoint's variants.

A variant is the deploy graph of the checkpoint itself, as it is or with its weights in fp16, or of
a compressed one in a folder inside it (`python -m pipeline compress`). One such folder may give two
variants: with activations rounded to 8 bits too, and with rounded weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from export.deploy.graph import DeployGraph
from export.deploy.half_weights import halved_graph
from pipeline.compress.activation_quantization import int8_variant
from pipeline.compress.compressible import refusal_of
from pipeline.errors import BadInput
from pipeline.models.networks import load_network, with_evidence
from pipeline.terminal.command_line import command_line

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.checkpoint import Checkpoint


@dataclass(frozen=True)
class Variant:
    """The source of a variant.

    Attributes:
        folder: of the compressed checkpoint inside the checkpoint; empty: the checkpoint itself.
        activations: whether its activations are rounded too.
        half: whether its weights are rounded to fp16, batch norms folded.
    """

    folder: str
    activations: bool = False
    half: bool = False


VARIANTS: Final[Mapping[str, Variant]] = {
    "fp32": Variant(""),
    "fp16": Variant("", half=True),
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


def missing_variant(checkpoint: Checkpoint, variant: str, data: Path | None = None) -> str:
    """Why there is no such variant and how to make it; empty if there is one.

    `data`: the images at hand, for the command that makes it.
    """
    precision = VARIANTS[variant].folder
    if not precision or checkpoint.has_variant(precision):
        return ""
    lacking = f"{checkpoint.folder} is not compressed to {precision}"
    refused = refusal_of(checkpoint)
    if refused:
        return f"{lacking}, and cannot be: {refused}"
    compress = command_line(
        "pipeline", "compress", checkpoint.folder, data=data, precisions=precision
    )
    images = "" if data else ", given the images it was trained on by --data"
    return f"{lacking}; `{compress}` does it{images}"


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
    graph = DeployGraph(network, held.spec, grids).eval()
    return halved_graph(graph) if VARIANTS[variant].half else graph
