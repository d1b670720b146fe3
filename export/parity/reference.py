"""What every artifact is compared with: the outputs of PyTorch on the parity images, by variant."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from export.deploy.expected_program import Captured, Captures, Key, expected_program
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.layer_order import activation_layer, network_layers, normalisation_layer
from export.deploy.layers import Layer
from export.deploy.outputs import Answers, answers_in_parts
from export.deploy.variants import variant_checkpoint, variant_graph
from export.images.parity_images import ParityImages, gather_images
from pipeline.errors import BadInput
from pipeline.resize.notation import height_width

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.checkpoint import Checkpoint
    from pipeline.model_spec import ModelSpec
    from pipeline.program.program import Program

# What another process of this program needs of `References`: networks are built there.
GIVEN: Final = ("checkpoint", "images", "answers", "captures")
_captured: dict[str, dict[Key, Captured]] = {}  # by this process, of checkpoints by their identity


@dataclass(frozen=True)
class Reference:
    """A checkpoint or a variant of it, and its outputs.

    Attributes:
        spec, checkpoint_sha256: what artifacts must declare.
        graph: the deploy graph in evaluation mode.
        images: N images.
        answers: PyTorch's outputs for them.
        captures: of this graph and others like it.
        noise: draws of `export.parity.rounding_noise`, by what they are of: files of several
            formats are compared with one reference.
    """

    spec: ModelSpec
    checkpoint_sha256: str
    graph: DeployGraph
    images: ParityImages
    answers: Answers
    captures: Captures = field(default_factory=Captures, repr=False, compare=False)
    noise: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    @cached_property
    def program(self) -> Program:
        """What a file must compute.

        Raises:
            BadInput: the network cannot be captured.
        """
        return expected_program(self.graph.pixels, height_width(self.spec.side), self.captures)


def last_images(reference: Reference, count: int) -> Reference:
    """The same on its last images alone."""
    images, answers = reference.images, reference.answers
    evidence = answers.evidence
    few = replace(
        images,
        names=images.names[-count:],
        groups=images.groups[-count:],
        pixels=images.pixels[-count:],
        truth=(),
        patients=(),
    )
    own = Answers(answers.probs[-count:], None if evidence is None else evidence[-count:])
    return replace(reference, images=few, answers=own)


@dataclass
class References:
    """References of a checkpoint and its variants on the same images, each run when first needed.

    Another process of this program can be given them, and then sees the same images and answers.

    Attributes:
        checkpoint: opened once, as are the compressed ones inside it.
        images: N images.
        answers: variant -> PyTorch's outputs, for those that were run.
        captures: of their graphs.
    """

    checkpoint: Checkpoint
    images: ParityImages
    answers: dict[str, Answers] = field(default_factory=dict)
    captures: Captures = field(default_factory=Captures)
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
                    self.answers[variant] = answers_in_parts(
                        lambda part: reference_answers(graph, part), self.images.pixels
                    )
                self.made[variant] = Reference(
                    held.spec,
                    held.sha256,
                    graph,
                    self.images,
                    self.answers[variant],
                    replace(self.captures, kept=_captured.setdefault(held.sha256, {})),
                )
            return self.made[variant]

    def complete(self, variants: Iterable[str]) -> None:
        """Make variants, their layers and programs, before there are threads.

        While torch.fx traces a network, no other thread can run one: it patches all modules.
        """
        for variant in variants:
            _ = self.of(variant).layers
            self.capture(variant)

    def capture(self, variant: str) -> None:
        """Make a variant's program, if there is one: its check says why there is none."""
        with suppress(BadInput):
            _ = self.of(variant).program

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs."""
        return {name: getattr(self, name) for name in GIVEN}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


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
