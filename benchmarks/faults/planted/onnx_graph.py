"""Faults edited into the graph of an ONNX file, because no converter writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.faults.bench import Artifact, Bench
from benchmarks.faults.fault import DoesNotApply, Fault, Pair, Plant, formats
from export.formats.onnx.facts import FACTS

if TYPE_CHECKING:
    from onnx import ModelProto

ONNX: Final = formats("no ONNX graph lies in it", FACTS.name)


def edited(change: Callable[[ModelProto], None]) -> Plant:
    """A copy of the ONNX file with its graph edited."""

    def plant(bench: Bench, artifact: Artifact, folder: Path) -> Pair:
        import onnx

        clean = bench.clean(artifact)
        model = onnx.load(clean)
        change(model)
        onnx.save(model, folder / clean.name)
        return Pair(folder / clean.name, bench.reference(artifact))

    return plant


def pad_one_side(model: ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "pads" and list(attribute.ints) == [1, 1, 1, 1]:
                attribute.ints[:] = [0, 0, 2, 2]  # begins, then ends
                return
    raise DoesNotApply("no operation pads by one pixel")


def softmax_over_the_batch(model: ModelProto) -> None:
    (node,) = [n for n in model.graph.node if n.op_type == "Softmax"]
    node.attribute[0].i = 0


def cut_off_a_bias(model: ModelProto) -> None:
    node = [n for n in model.graph.node if n.op_type == "Conv" and len(n.input) == 3][-2]
    del node.input[2]


def rename_the_output(model: ModelProto) -> None:
    before = model.graph.output[0].name
    model.graph.output[0].name = "output"
    for node in model.graph.node:
        node.output[:] = ["output" if name == before else name for name in node.output]


CHANGES: Final[Mapping[str, tuple[Callable[[ModelProto], None], str]]] = {
    "padding edited in the graph": (pad_one_side, "outputs"),
    "softmax axis edited in the graph": (softmax_over_the_batch, "outputs"),
    "a bias cut off in the graph": (cut_off_a_bias, "weights"),
    "output renamed in the graph": (rename_the_output, "contract"),
}
FAULTS: Final = tuple(
    Fault(name, edited(change), (part,), ONNX) for name, (change, part) in CHANGES.items()
)
