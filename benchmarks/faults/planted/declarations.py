"""Faults of what a file declares, and of the preprocessing that its spec asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from benchmarks.faults.bench import Edit, few_images, with_graph, with_larger_input
from benchmarks.faults.fault import DoesNotApply, Fault
from benchmarks.faults.planted.weights import ANOTHER, Mismatched
from export.deploy.graph import DeployGraph
from export.parity.reference import Reference
from pipeline.model_spec import ModelSpec

LARGER_BY: Final = 32  # pixels


def in_spec(change: Callable[[ModelSpec], ModelSpec]) -> Edit:
    """Change what the checkpoint declares, not what its network does."""
    return lambda reference: replace(reference, spec=change(reference.spec))


def another_threshold(spec: ModelSpec) -> ModelSpec:
    if spec.threshold is None:
        raise DoesNotApply("it decides by no threshold")
    return replace(spec, threshold=spec.threshold / 2)


def another_identity(reference: Reference) -> Reference:
    return replace(reference, checkpoint_sha256=ANOTHER)


def identity_of_the_parent(reference: Reference) -> Reference:
    """By its identity a phone's tools distinguish a checkpoint from its compressed variants."""
    if reference.spec.compression is None:
        raise DoesNotApply("it is made of the checkpoint itself")
    return replace(reference, checkpoint_sha256=reference.spec.compression.parent_sha256)


def larger_input(reference: Reference) -> Reference:
    spec = with_larger_input(reference.spec, LARGER_BY)
    return with_graph(replace(reference, spec=spec, images=few_images(spec.side)), reference.graph)


def in_recipe(change: Callable[[ModelSpec], ModelSpec]) -> Edit:
    """The same network after another normalisation."""

    def edit(reference: Reference) -> Reference:
        spec, graph = change(reference.spec), reference.graph
        if (spec.mean, spec.std) == (reference.spec.mean, reference.spec.std):
            raise DoesNotApply("the normalisation stays as it is")
        made = DeployGraph(graph.pixels.network, spec, graph.grids)
        return with_graph(replace(reference, spec=spec), made)

    return edit


def grey(value: float) -> tuple[float, float, float]:
    return (value, value, value)


def bgr(values: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = values
    return blue, green, red


def in_pixels(values: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red / 255, green / 255, blue / 255


DECLARATIONS: Final[Mapping[str, Edit]] = {
    "labels swapped": in_spec(lambda spec: replace(spec, labels=spec.labels[::-1])),
    "version of another release": in_spec(lambda spec: replace(spec, version="0.0.0")),
    "threshold of another checkpoint": in_spec(another_threshold),
    "identity of another checkpoint": another_identity,
    "identity of the checkpoint that it was compressed from": identity_of_the_parent,
    "an input 32 px larger": larger_input,
}
RECIPES: Final[Mapping[str, Edit]] = {
    "normalisation of another recipe": in_recipe(
        lambda spec: replace(spec, mean=grey(0.5), std=grey(0.5))
    ),
    "recipe without normalisation": in_recipe(
        lambda spec: replace(spec, mean=grey(0.0), std=grey(1 / 255))
    ),
    "means of the recipe in another unit": in_recipe(
        lambda spec: replace(spec, mean=in_pixels(spec.mean))
    ),
    "means of the recipe in the order BGR": in_recipe(
        lambda spec: replace(spec, mean=bgr(spec.mean))
    ),
}
SAYS: Final = {
    "labels swapped": "labels in the file",
    "version of another release": "version in the file",
    "threshold of another checkpoint": "threshold in the file",
    "identity of another checkpoint": "checkpoint_sha256 in the file",
    "identity of the checkpoint that it was compressed from": "checkpoint_sha256 in the file",
    "an input 32 px larger": "input is",
}
FAULTS: Final = (
    *(
        Fault(name, Mismatched(edit), ("contract",), says=SAYS[name])
        for name, edit in DECLARATIONS.items()
    ),
    *(
        Fault(name, Mismatched(edit), ("outputs",), says=r"max \|Δp\|")
        for name, edit in RECIPES.items()
    ),
)
