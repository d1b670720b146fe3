"""The bench: a checkpoint's artifacts, converted once each, and what they are compared with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from export.deploy.batch_norm_folding import with_network
from export.deploy.expected_program import Captured, Captures, Key
from export.deploy.graph import DeployGraph, reference_answers
from export.deploy.half_weights import halved_graph
from export.deploy.metadata import model_metadata
from export.deploy.variants import VARIANTS, missing_variant
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.images.golden_images import GROUP, golden_images
from export.images.parity_images import ParityImages
from export.images.stress_images import stress_images
from export.parity.quality_gate import FULL
from export.parity.reading import Reading
from export.parity.reference import Reference, References
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import install_command, missing_modules

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model_spec import ModelSpec
    from pipeline.resize.rule import Size

Artifact = tuple[str, str]  # format, precision
Edit = Callable[[Reference], Reference]

COLUMNS: Final[tuple[Artifact, ...]] = tuple(
    (name, precision) for name in FORMATS for precision in FORMATS[name].precisions
)
# The few that reveal most: a colour, noise, both directions, padding.
IMAGES: Final = (
    "hard/red",
    "hard/noise_colour",
    "hard/gradient_left_right",
    "hard/gradient_colour",
    "hard/checkerboard_1px",
)
REMEMBERED: Final = (
    8  # edited networks; each serves all formats of a fault, which follow each other
)


class Bench:
    """A checkpoint under test.

    Attributes:
        references: the checkpoint and its compressed variants, on a few images.
        folder: for converted files.
        made: clean artifacts that already exist.
    """

    def __init__(
        self, references: References, folder: Path, made: Mapping[Artifact, Path] | None = None
    ) -> None:
        self.references, self.folder = references, folder
        self.made = {} if made is None else made
        self.converted: dict[Artifact, Path] = {}
        self.readings: dict[Artifact, Reading] = {}
        self.edited = lru_cache(maxsize=REMEMBERED)(self._edited)
        self.captured = lru_cache(maxsize=REMEMBERED)(_nothing)

    def absent(self, artifact: Artifact) -> str:
        """Why this checkpoint has no such artifact here; empty: it has one."""
        facts = FORMATS[artifact[0]]
        if missing := missing_modules(facts.requires):
            fix = install_command(missing, facts.extras_of(missing))
            return f"{', '.join(missing)} is not installed; {fix}"
        variant = facts.precisions[artifact[1]].variant
        checkpoint = self.references.checkpoint
        reason, _, _ = missing_variant(checkpoint, variant).partition("; `")
        return reason.replace(str(checkpoint.folder), "the checkpoint")  # it is a copy

    @property
    def spec(self) -> ModelSpec:
        """The checkpoint's own description."""
        return self.references.of(FULL).spec

    @cached_property
    def golden(self) -> References:
        """The checkpoint on the golden images, whose answers lie in published folders."""
        return References(self.references.checkpoint, only_golden(self.spec))

    def reference(self, artifact: Artifact) -> Reference:
        """What the artifact is compared with."""
        return self.references.of(FORMATS[artifact[0]].precisions[artifact[1]].variant)

    def wrong(self, edit: Edit, artifact: Artifact) -> Reference:
        """The same with one thing wrong. Raises DoesNotApply."""
        return self.edited(edit, FORMATS[artifact[0]].precisions[artifact[1]].variant)

    def _edited(self, edit: Edit, variant: str) -> Reference:
        half = VARIANTS[variant].half  # an edit finds its place before batch norms are folded
        right = self.references.of(FULL if half else variant)
        _ = right.program  # captured once: a wrong one that differs in numbers alone uses it again
        wrong = edit(right)
        wrong = with_graph(wrong, halved_graph(wrong.graph)) if half else wrong
        # Captured once for all variants of the same modules: one edit does the same to each.
        return replace(wrong, captures=Captures(wrong.captures.known, self.captured(edit)))

    def clean(self, artifact: Artifact) -> Path:
        """The artifact as it should be. Do not change it: take a copy."""
        if artifact in self.made:
            return self.made[artifact]
        if artifact not in self.converted:
            folder = self.folder / "clean"
            folder.mkdir(parents=True, exist_ok=True)
            self.converted[artifact] = convert(artifact, self.reference(artifact), folder)
        return self.converted[artifact]

    def reading(self, artifact: Artifact, path: Path) -> Reading | None:
        """The clean artifact is read once for all comparisons; None for any other file."""
        if path != self.clean(artifact):
            return None
        return self.readings.setdefault(artifact, Reading(verbs_of(artifact[0]), path))


def _nothing(edit: Edit) -> dict[Key, Captured]:
    """What was captured of an edit's graphs, to begin with."""
    return {}


def convert(
    artifact: Artifact,
    reference: Reference,
    folder: Path,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Make the artifact of a graph and a spec by the real converter."""
    name, precision = artifact
    spec = reference.spec
    path = folder / f"{spec.name}_{precision}{FORMATS[name].suffix}"
    said = metadata or model_metadata(spec, reference.checkpoint_sha256)
    verbs_of(name).convert(reference.graph, spec, said, precision, path)
    return path


def open_bench(
    checkpoint: Path, folder: Path, made: Mapping[Artifact, Path] | None = None
) -> Bench:
    """The bench of a checkpoint folder. Raises BadInput for an incomplete one."""
    opened = open_checkpoint(checkpoint)
    return Bench(References(opened, few_images(opened.spec.side)), folder, made)


def with_larger_input(spec: ModelSpec, more: int) -> ModelSpec:
    """The spec with an input of so many pixels more, both ways."""
    height, width = spec.resize.size
    return replace(spec, resize=replace(spec.resize, height=height + more, width=width + more))


def few_images(side: Size) -> ParityImages:
    """The images of the bench at this side, or height and width."""
    hard = stress_images(side)
    pixels = np.stack([hard[name] for name in IMAGES])
    return ParityImages(IMAGES, ("hard",) * len(IMAGES), pixels, f"{len(IMAGES)} hard images")


def only_golden(spec: ModelSpec) -> ParityImages:
    """The golden images of a model."""
    images = golden_images(spec.resize, spec.owner.samples)
    names = tuple(f"{GROUP}/{image.name}" for image in images)
    pixels = np.stack([image.pixels for image in images])
    return ParityImages(names, (GROUP,) * len(names), pixels, f"{len(names)} golden images")


def with_graph(reference: Reference, graph: DeployGraph) -> Reference:
    """The reference with another graph and that graph's outputs, and captures of its own."""
    graph = graph.eval()
    answers = reference_answers(graph, reference.images.pixels[:])
    captures = Captures(dict(reference.captures.known))
    return replace(reference, graph=graph, answers=answers, captures=captures)


def replaced_network(change: Callable[[nn.Module], nn.Module]) -> Edit:
    """Put another network in place of the checkpoint's."""

    def edit(reference: Reference) -> Reference:
        network = copy.deepcopy(reference.graph.pixels.network)
        with torch.no_grad():
            made = change(network)
        return with_graph(reference, with_network(reference.graph, made))

    return edit
