"""Find the layer at which an artifact begins to disagree with PyTorch.

Where a file can be read as a program it is compared with the network's, operation by operation and
number by number: that names the layer and what differs, without running anything.

In: an artifact and one image. Out: input and output of every weighted layer on both sides, in call
order, and the first place at which they differ. A different *input* means a fault between the layer
before and this one (activation, pooling, concatenation, normalisation); a different *output* means
a fault in the layer itself (weights, padding, dilation).

ONNX and Core ML files are opened and observed. The lite interpreter and the ORT format hide their
intermediate values: for them, PyTorch runs with the weights in the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from export.deploy.batch_norm_folding import folded_network
from export.deploy.layer_order import network_holding, trace_layers
from export.errors import CannotRunHere, Unreadable
from export.formats.base import verbs_of
from export.formats.facts import Arithmetic
from export.formats.register import FORMATS
from export.parity.network.network_parts import program_differences, said
from export.parity.reading import Reading
from pipeline.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.console import Console

    from export.deploy.layers import LayerTrace
    from export.formats.base import Verbs
    from export.parity.reference import Reference

UNWATCHED: Final = (
    "the weights agree in every layer: a difference is in the operations of the file, "
    "which cannot be watched; `explain onnx` watches those made from the same graph"
)
MOST_SENTENCES: Final = 8  # on what differs between the programs
# Largest difference allowed, as a share of the layer's largest value: rounding adds up over layers.
# In int8 a code may be rounded the other way, a step of 1/255 or more of a layer's range.
ALLOWED: Final[Mapping[Arithmetic, float]] = {"fp32": 1e-4, "fp16": 3e-2, "int8": 5e-2}


@dataclass(frozen=True)
class ComparedPlace:
    """One side of one layer, compared.

    Attributes:
        layer: name of the PyTorch module.
        side: ``input`` or ``output``.
        reference, artifact: mean and standard deviation of the values on each side.
        relative_diff: largest difference / largest absolute value of the reference; infinite if
            the shapes differ or a value is not finite.
        differs: by more than rounding explains.
    """

    layer: str
    side: str
    reference: tuple[float, float]
    artifact: tuple[float, float]
    relative_diff: float
    differs: bool


@dataclass(frozen=True)
class Explanation:
    """What was found.

    Attributes:
        how: the places were obtained.
        places: in call order.
        verdict: the conclusion.
        differences: of the file's program from the network's, in sentences; None: not compared.
    """

    how: str
    places: tuple[ComparedPlace, ...]
    verdict: str
    differences: tuple[str, ...] | None = None

    @property
    def differs(self) -> bool:
        """Whether anything was found; two programs that are compared say more than layers."""
        if self.differences is not None:
            return bool(self.differences)
        return any(place.differs for place in self.places)


def explain(
    format_name: str, precision: str, path: Path, reference: Reference, image_name: str
) -> Explanation:
    """Trace `path` and PyTorch on one of the reference's images and compare layer by layer.

    Raises:
        CannotRunHere, Unreadable: neither its layers nor its operations can be compared.
    """
    image = reference.images.pixels[reference.images.names.index(image_name)]
    pixels = torch.from_numpy(image[None]).permute(0, 3, 1, 2).to(torch.float32)
    graph = reference.graph.pixels
    normalised = (pixels - graph.mean) / graph.std
    expected = trace_layers(folded_network(graph.network), normalised)
    verbs = verbs_of(format_name)
    told = _differences(verbs, precision, format_name, path, reference)
    try:
        if not expected:  # a network of plain operations: no module is called
            raise Unreadable("no layer of the network can be watched, nor its operations compared")
        found = verbs.trace_layers(path, image)
        how = "watched inside the file"
        hidden = found is None
        if found is None:
            layers = verbs.stored_layers(path)
            rebuilt = network_holding(graph.network, layers, reference.spec.side)
            found = trace_layers(rebuilt, normalised)
            how = "PyTorch with the weights that the file holds; its own steps cannot be watched"
    except (Unreadable, CannotRunHere):  # such as a layer of constants, which the file has computed
        if told is None:
            raise
        return Explanation("the operations of both compared", (), _by_program(told), told)
    arithmetic = FORMATS[format_name].precisions[precision].arithmetic
    places = _compare(expected, found, ALLOWED[arithmetic])
    verdict = _verdict(places, expected, found)
    same = not any(place.differs for place in places)
    lacking = len(places) < 2 * len(expected)
    if told is None:
        verdict = UNWATCHED if hidden and same else verdict
    elif bool(told) == same or (hidden and same) or lacking:
        verdict = _by_program(told)  # layers were paired crosswise, hide it, or are computed before
    return Explanation(how, tuple(places), verdict, told)


def _by_program(told: Sequence[str]) -> str:
    if told:
        return f"first difference: {told[0]}"
    return "the weights agree in every layer, and so do the operations"


def _differences(
    verbs: Verbs, precision: str, format_name: str, path: Path, reference: Reference
) -> tuple[str, ...] | None:
    """In sentences; None if there are no two programs here."""
    half = FORMATS[format_name].precisions[precision].arithmetic == "fp16"
    try:
        found = program_differences(Reading(verbs, path), reference, half, needs_evidence=False)
    except (CannotRunHere, BadInput):
        return None
    return None if found is None else tuple(said(each) for each in found)


def print_explanation(console: Console, explanation: Explanation) -> None:
    """The table around the first difference, and the sentence."""
    from rich import box
    from rich.table import Table

    places = explanation.places
    first = next((i for i, place in enumerate(places) if place.differs), len(places))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", no_wrap=True)
    table.add_column("side")
    for column in ("PyTorch mean", "std", "artifact mean", "std", "max diff / max"):
        table.add_column(column, justify="right", no_wrap=True)
    for i, place in enumerate(places[: first + 5]):
        table.add_row(
            place.layer,
            place.side,
            *(f"{value:.4g}" for value in (*place.reference, *place.artifact)),
            f"{place.relative_diff:.1e}",
            style="bold red" if i == first else "red" if place.differs else None,
        )
    console.print(table)
    if first + 5 < len(places):
        console.print(f"... and {len(places) - first - 5} more places")
    console.print(explanation.how)
    console.print(explanation.verdict, markup=False)
    for sentence in (explanation.differences or ())[:MOST_SENTENCES]:
        console.print(f"  {sentence}", markup=False)


def _compare(
    expected: list[LayerTrace], found: list[LayerTrace], allowed: float
) -> list[ComparedPlace]:
    """Layers of one kind and output shape are matched in their order."""
    waiting: dict[tuple[str, tuple[int, ...]], list[LayerTrace]] = defaultdict(list)
    for trace in found:
        waiting[trace.kind, trace.output.shape].append(trace)
    places = []
    for trace in expected:
        candidates = waiting[trace.kind, trace.output.shape]
        if not candidates:
            break  # the verdict reports it
        match = candidates.pop(0)
        for side in ("input", "output"):
            ours, theirs = getattr(trace, side), getattr(match, side)
            places.append(_place(trace.name, side, ours, theirs, allowed))
    return places


def _place(
    layer: str, side: str, ours: NDArray[np.floating], theirs: NDArray[np.floating], allowed: float
) -> ComparedPlace:
    relative = float("inf")
    if ours.shape == theirs.shape and np.isfinite(theirs).all():
        scale = float(np.abs(ours).max()) or 1.0
        relative = float(np.abs(theirs.astype(np.float64) - ours).max()) / scale
    statistics = [(float(values.mean()), float(values.std())) for values in (ours, theirs)]
    return ComparedPlace(
        layer, side, statistics[0], statistics[1], relative, not relative <= allowed
    )


def _verdict(
    places: list[ComparedPlace], expected: list[LayerTrace], found: list[LayerTrace]
) -> str:
    first = next((i for i, place in enumerate(places) if place.differs), None)
    if first is None:
        if len(places) < 2 * len(expected):
            lost = expected[len(places) // 2]
            return (
                f"the file has no {lost.kind} with output {lost.output.shape} where "
                f"{lost.name} should be ({len(found)} layers, PyTorch {len(expected)})"
            )
        return (
            "no layer differs by more than rounding: what is wrong, if anything, comes after "
            f"{expected[-1].name} (pooling, softmax, evidence, labels) or outside the network"
        )
    place = places[first]
    if place.side == "output":
        return f"first difference: in {place.layer} (weights, bias, padding, stride or dilation)"
    if first == 0:
        return f"first difference: before {place.layer} (colour order, normalisation, input)"
    before = places[first - 1].layer
    return (
        f"first difference: between {before} and {place.layer} (activation, pooling or "
        "concatenation)"
    )
