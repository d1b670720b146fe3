"""The PyTorch models that artifacts are made from and held against: a checkpoint and its twins.

A twin is the deploy graph of a compressed checkpoint, which lies in a folder of the checkpoint's
own (`python -m pipeline compress`). One such folder may give two: with its activations rounded to
8 bits, and with its weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from export.deploy.graph import DeployGraph, with_evidence
from pipeline.checkpoint import SPEC_FILE, ModelSpec, checkpoint_sha256, read_grids, read_spec
from pipeline.compress.activation_quantization import int8_twin
from pipeline.compress.gptq import weighted_layers
from pipeline.errors import BadInput
from pipeline.models.networks import build_network, load_network


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


def twin_folder(checkpoint: Path, twin: str) -> Path:
    """The checkpoint folder of a twin, whether it is there or not."""
    return checkpoint / TWINS[twin].folder


def missing_twin(checkpoint: Path, twin: str) -> str:
    """Why there is no such twin and what makes it; empty if there is one."""
    if (twin_folder(checkpoint, twin) / SPEC_FILE).is_file():
        return ""
    lacking = f"{checkpoint} is not compressed to {TWINS[twin].folder}"
    refused = _refused(read_spec(checkpoint).architecture)
    if refused:
        return f"{lacking}, and cannot be: {refused}"
    return f"{lacking}; `python -m pipeline compress {checkpoint} --data PLACE` does it"


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


def read_twin(checkpoint: Path, twin: str = "fp32") -> tuple[ModelSpec, DeployGraph]:
    """A twin's spec and its deploy graph in evaluation mode.

    Raises:
        BadInput: no checkpoint there, damaged, or compressed from another one than it lies in.
    """
    folder = twin_folder(checkpoint, twin)
    spec = read_spec(folder)
    if folder != checkpoint:
        _check_parent(folder, spec, checkpoint_sha256(checkpoint))
    network, grids = load_network(folder, spec), read_grids(folder)
    if TWINS[twin].activations:
        assert spec.compression is not None
        try:
            network = int8_twin(with_evidence(network), spec.compression.activations, grids)
        except KeyError as error:
            raise BadInput(f"{folder} has no scale for {error}; compress again") from error
    return spec, DeployGraph(network, spec, grids).eval()


def _check_parent(folder: Path, spec: ModelSpec, parent_sha256: str) -> None:
    found = spec.compression.parent_sha256 if spec.compression else "none"
    if found != parent_sha256:
        raise BadInput(
            f"{folder} was compressed from another checkpoint ({found[:12]}) than the one it lies "
            f"in ({parent_sha256[:12]}); compress again, or remove it"
        )
