"""What every artifact is compared with: the outputs of PyTorch on the parity images, by variant."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.layer_order import activation_layer, network_layers, normalisation_layer
from export.deploy.layers import Layer
from export.deploy.outputs import EVIDENCE, PROBS, Answers
from export.deploy.variants import variant_checkpoint, variant_graph
from export.images.parity_images import ParityImages, gather_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.checkpoint import Checkpoint
    from pipeline.model_spec import ModelSpec


@dataclass(frozen=True)
class Reference:
    """A checkpoint or a variant of it, and its outputs.

    Attributes:
        spec, checkpoint_sha256: what artifacts must declare.
        graph: the deploy graph in evaluation mode.
        images: N images.
        answers: PyTorch's outputs for them.
    """

    spec: ModelSpec
    checkpoint_sha256: str
    graph: DeployGraph
    images: ParityImages
    answers: Answers

    @property
    def probs(self) -> NDArray[np.float32]:
        """PyTorch's probabilities for the images, float32 (N, K)."""
        return self.answers.probs

    @cached_property
    def layers(self) -> list[Layer]:
        """The network's weighted layers, batch norms folded, after its normalisation."""
        pixels = self.graph.pixels
        return [
            normalisation_layer(pixels),
            *network_layers(pixels, self.spec.side),
            *activation_layer(pixels.network),
        ]


@dataclass
class References:
    """References of a checkpoint and its variants on the same images, each run when first needed.

    Attributes:
        checkpoint: opened once, as are the compressed ones inside it.
        images: N images.
        answers: variant -> PyTorch's outputs, for those that were run.
    """

    checkpoint: Checkpoint
    images: ParityImages
    answers: dict[str, Answers] = field(default_factory=dict)
    made: dict[str, Reference] = field(default_factory=dict)
    graphs: dict[str, DeployGraph] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def refuse_damaged(self, variants: Iterable[str]) -> None:
        """Read variants, without running them. Raises BadInput if one is missing or damaged."""
        for variant in variants:
            if variant not in self.graphs:
                self.graphs[variant] = variant_graph(self.checkpoint, variant)

    def of(self, variant: str) -> Reference:
        """A variant as reference, for any thread. Raises BadInput if it is missing or damaged."""
        with self.lock:
            if variant not in self.made:
                self.refuse_damaged([variant])
                held, graph = variant_checkpoint(self.checkpoint, variant), self.graphs[variant]
                if variant not in self.answers:
                    self.answers[variant] = reference_answers(graph, self.images.pixels)
                self.made[variant] = Reference(
                    held.spec, held.sha256, graph, self.images, self.answers[variant]
                )
            return self.made[variant]

    def save(self, path: Path) -> None:
        """Write images and outputs for other processes to read, without pickle."""
        about = {**asdict(self.images), "pixels": None}
        arrays: dict[str, Any] = {
            f"{name}_{variant}": array
            for variant, answers in self.answers.items()
            for name, array in ((PROBS, answers.probs), (EVIDENCE, answers.evidence))
            if array is not None
        }
        np.savez(path, about=np.array(json.dumps(about)), pixels=self.images.pixels, **arrays)


def load_references(path: Path, checkpoint: Checkpoint) -> References:
    """What `References.save` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in about.items()}
        images = ParityImages(**{**values, "pixels": stored["pixels"]})
        variants = [k.removeprefix(f"{PROBS}_") for k in stored if k.startswith(f"{PROBS}_")]
        answers = {
            variant: Answers(stored[f"{PROBS}_{variant}"], stored.get(f"{EVIDENCE}_{variant}"))
            for variant in variants
        }
    return References(checkpoint, images, answers)


def build_references(
    checkpoint: Checkpoint, data: Path | None, image_limit: int, variants: Iterable[str] = ("fp32",)
) -> References:
    """Read the weights of a checkpoint and the parity images, and run `variants` on them.

    Raises:
        BadInput: a bad checkpoint or variant, or data that cannot be read or have other labels.
    """
    references = References(checkpoint, gather_images(checkpoint.spec, data, image_limit))
    for variant in variants:
        references.of(variant)
    return references
