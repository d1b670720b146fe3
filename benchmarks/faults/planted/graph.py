"""Faults around the network: in what happens to the pixels before it and to its outputs after it.

In fp32 the file is converted from the wrong graph. In the other precisions the file is clean and
the graph that it is compared with is wrong, as in `weights`. The same holds for evidence in Core
ML, whose converter takes it from the program and not from the graph.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from benchmarks.faults.bench import Artifact, Bench, Edit, convert, with_graph
from benchmarks.faults.fault import DoesNotApply, Fault, Pair, Plant, Where, anywhere
from export.deploy.graph import Outputs, PixelGraph, to_outputs
from export.formats.coreml.facts import FACTS as CORE_ML
from export.formats.register import FORMATS
from export.parity.quality_gate import FULL
from export.parity.reference import Reference
from pipeline.model_spec import ModelSpec

Compute = Callable[[PixelGraph, Tensor], Outputs]


class WrongGraph(PixelGraph):
    """A pixel graph that computes something else."""

    def __init__(self, right: PixelGraph, spec: ModelSpec, compute: Compute) -> None:
        super().__init__(right.network, spec)
        self.compute = compute

    def forward(self, pixels: Tensor) -> Outputs:
        """float32 (N, 3, H, W), 0..255 RGB -> outputs of the right graph's shapes."""
        return self.compute(self, pixels)


def computing(compute: Compute) -> Edit:
    """The same network in a graph that computes something else."""

    def edit(reference: Reference) -> Reference:
        graph = copy.copy(reference.graph)
        graph._modules = dict(graph._modules)
        graph.pixels = WrongGraph(graph.pixels, reference.spec, compute)
        return with_graph(reference, graph)

    return edit


def converted(edit: Edit, evidence: bool = False) -> Plant:
    """In fp32 the file is wrong, otherwise what it is compared with."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
        wrong = bench.wrong(edit, artifact)
        if artifact[1] != FULL or (evidence and artifact[0] == CORE_ML.name):
            return Pair(bench.clean(artifact), wrong)
        return Pair(convert(artifact, wrong, folder), bench.reference(artifact))

    return plant


def normalised(graph: PixelGraph, pixels: Tensor) -> Tensor:
    return (pixels - graph.mean) / graph.std


def after(change: Callable[[Tensor], Tensor]) -> Compute:
    """Something other than softmax after the network; evidence unchanged."""

    def compute(graph: PixelGraph, pixels: Tensor) -> Outputs:
        given = graph.network(normalised(graph, pixels))
        if not isinstance(given, tuple):
            return change(given)
        logits, evidence = given
        return change(logits), evidence.contiguous()

    return compute


def seen(change: Callable[[Tensor], Tensor]) -> Compute:
    """The right probabilities, and changed evidence."""

    def compute(graph: PixelGraph, pixels: Tensor) -> Outputs:
        outputs = graph.answer(normalised(graph, pixels))
        if not isinstance(outputs, tuple):
            raise DoesNotApply("the network gives no evidence")
        return outputs[0], change(outputs[1]).contiguous()

    return compute


def moved(evidence: Tensor) -> Tensor:
    """Only for the first class, so that evidence does not average to the logits."""
    first = torch.arange(evidence.shape[1]).reshape(1, -1, 1, 1) == 0
    return evidence + 0.01 * first


def unseen(graph: PixelGraph, pixels: Tensor) -> Outputs:
    """No evidence, although the network has it."""
    probs, _ = seen(lambda evidence: evidence)(graph, pixels)
    return probs


def both_swapped(graph: PixelGraph, pixels: Tensor) -> Outputs:
    """Probabilities and evidence of the classes in another order."""
    given = graph.network(normalised(graph, pixels))
    if isinstance(given, tuple):
        return to_outputs((given[0].flip(1), given[1].flip(1)))
    return to_outputs(given.flip(1))


COMPUTES: Final[Mapping[str, Compute]] = {
    "channels read as BGR": lambda g, x: g.answer(normalised(g, x.flip(1))),
    "normalisation dropped": lambda g, x: g.answer(x),
    "normalisation doubled": lambda g, x: g.answer(
        (normalised(g, x) - g.mean / 255) / (g.std / 255)
    ),
    "pixels divided by 255 and no more": lambda g, x: g.answer(x / 255),
    "means in the order BGR": lambda g, x: g.answer((x - g.mean.flip(1)) / g.std),
    "means of pixels / 255 taken from pixels": lambda g, x: g.answer((x - g.mean / 255) / g.std),
    "softmax missing": after(lambda logits: logits),
    "softmax doubled": after(lambda logits: logits.softmax(1).softmax(1)),
    "softmax over the batch": after(lambda logits: logits.softmax(0)),
    "sigmoid for softmax": after(torch.sigmoid),
    "probabilities swapped": after(lambda logits: logits.softmax(1).flip(1)),
    "outputs swapped": both_swapped,
    "image mirrored": lambda g, x: g.answer(normalised(g, x.flip(3))),
    "image transposed": lambda g, x: g.answer(normalised(g, x.transpose(2, 3))),
}
EVIDENCES: Final[Mapping[str, Compute]] = {
    "evidence of swapped classes": seen(lambda found: found.flip(1)),
    "evidence transposed": seen(lambda found: found.transpose(2, 3)),
    "evidence mirrored": seen(lambda found: found.flip(3)),
    "evidence upside down": seen(lambda found: found.flip(2)),
    "evidence in another layout": seen(lambda found: found.permute(0, 2, 3, 1)),
    "evidence without what is negative": seen(torch.relu),
    "evidence as shares of the classes": seen(lambda found: found.softmax(1)),
    "evidence moved to an average of zero": seen(lambda f: f - f.mean(dim=(2, 3), keepdim=True)),
    "evidence at half the resolution": seen(lambda found: found[:, :, ::2, ::2]),
    "evidence missing": unseen,
}
# Means and deviations of one recipe are similar: rounding may change outputs as much as this does.
SLIGHT: Final[Mapping[str, Compute]] = {
    "standard deviations in the order BGR": lambda g, x: g.answer((x - g.mean) / g.std.flip(1)),
}
SLIGHT_EVIDENCE: Final[Mapping[str, Compute]] = {
    "evidence a thousandth larger": seen(lambda found: found * 1.001),
    "evidence moved by a hundredth of a logit": seen(moved),
}
ROUNDED: Final = 5e-4  # files whose arithmetic rounds no more are compared more closely than this


def unrounded(artifact: Artifact) -> str:
    """Only where a slight difference cannot come from rounding."""
    allowed = FORMATS[artifact[0]].precisions[artifact[1]].tolerance
    if max(allowed.max_abs_diff, allowed.max_evidence_diff) <= ROUNDED:
        return ""
    return (
        f"rounding may change probabilities by {allowed.max_abs_diff:g} and evidence by "
        f"{allowed.max_evidence_diff:g}"
    )


SAYS: Final = {
    "outputs": r"max \|Δp\| \S+ > ",
    "evidence": r"evidence: (differs by|shape|the file gives none|it gives evidence)",
}


def _faults(
    computes: Mapping[str, Compute], part: str, where: Where = anywhere
) -> tuple[Fault, ...]:
    evidence = part == "evidence"
    return tuple(
        Fault(name, converted(computing(compute), evidence), (part,), where, SAYS[part])
        for name, compute in computes.items()
    )


FAULTS: Final = (
    *_faults(COMPUTES, "outputs"),
    *_faults(EVIDENCES, "evidence"),
    *_faults(SLIGHT, "outputs", unrounded),
    *_faults(SLIGHT_EVIDENCE, "evidence", unrounded),
)
