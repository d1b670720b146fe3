"""What every artifact is held against: PyTorch's answers on the parity images, twin by twin."""

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
from export.deploy.variants import twin_checkpoint, twin_graph
from export.images.parity_images import ParityImages, gather_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.checkpoint import Checkpoint
    from pipeline.model_spec import ModelSpec


@dataclass(frozen=True)
class Reference:
    """A checkpoint, or a twin of it, run.

    Attributes:
        spec, checkpoint_sha256: what artifacts must say of themselves.
        graph: the deploy graph in evaluation mode.
        images: N images.
        answers: PyTorch's, for them.
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
    """The references of a checkpoint and its twins on the same images, each run when asked for.

    Attributes:
        checkpoint: opened once, as are the compressed ones inside it.
        images: N images.
        answers: twin -> PyTorch's, of those that were run.
    """

    checkpoint: Checkpoint
    images: ParityImages
    answers: dict[str, Answers] = field(default_factory=dict)
    made: dict[str, Reference] = field(default_factory=dict)
    graphs: dict[str, DeployGraph] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    def refuse_damaged(self, twins: Iterable[str]) -> None:
        """Read twins, without running them. Raises BadInput if one is not there or damaged."""
        for twin in twins:
            if twin not in self.graphs:
                self.graphs[twin] = twin_graph(self.checkpoint, twin)

    def of(self, twin: str) -> Reference:
        """A twin as reference, for any thread. Raises BadInput if it is not there or damaged."""
        with self.lock:
            if twin not in self.made:
                self.refuse_damaged([twin])
                held, graph = twin_checkpoint(self.checkpoint, twin), self.graphs[twin]
                if twin not in self.answers:
                    self.answers[twin] = reference_answers(graph, self.images.pixels)
                self.made[twin] = Reference(
                    held.spec, held.sha256, graph, self.images, self.answers[twin]
                )
            return self.made[twin]

    def save(self, path: Path) -> None:
        """Write images and answers for other processes to read, without any pickle."""
        about = {**asdict(self.images), "pixels": None}
        arrays: dict[str, Any] = {
            f"{name}_{twin}": array
            for twin, answers in self.answers.items()
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
        twins = [k.removeprefix(f"{PROBS}_") for k in stored if k.startswith(f"{PROBS}_")]
        answers = {
            twin: Answers(stored[f"{PROBS}_{twin}"], stored.get(f"{EVIDENCE}_{twin}"))
            for twin in twins
        }
    return References(checkpoint, images, answers)


def build_references(
    checkpoint: Checkpoint, data: Path | None, image_limit: int, twins: Iterable[str] = ("fp32",)
) -> References:
    """Read the weights of a checkpoint and the parity images, and run `twins` on them.

    Raises:
        BadInput: a bad checkpoint or twin, or data that cannot be read or are of other labels.
    """
    references = References(checkpoint, gather_images(checkpoint.spec, data, image_limit))
    for twin in twins:
        references.of(twin)
    return references
