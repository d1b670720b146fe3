"""Each entry writes what computes the numbers that a hand computed for the evaluator."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor

from export.errors import CannotRunHere, Unreadable
from export.formats.coreml.evaluator.evaluate import Step, ValueReference
from export.formats.coreml.lifting.entries import ENTRIES
from export.formats.coreml.lifting.lift import lift_step
from pipeline.program.builder import VALUE, Builder
from pipeline.program.operations import operation_of
from pipeline.program.program import runnable
from tests.export.formats.coreml.evaluator.operations.by_hand import BY_HAND
from tests.export.formats.coreml.evaluator.operations.cases import Case, as_stored

BY_COMPOSITES = {"hardswish"}  # no operation of MIL: see test_composites
ELU = Case("elu", {"x": [-math.log(2), 0.0, 3.0], "alpha": 1.0}, [-0.5, 0.0, 3.0])
KNOWN = [*(case for case in BY_HAND if case.operation in ENTRIES), ELU]


def named(case: Case) -> str:
    return f"{case.operation} {KNOWN.index(case)}"


def written(case: Case) -> tuple[Tensor, list[str]]:
    """What the entry's operations compute of the case, and their names."""
    stored = {name: as_stored(given) for name, given in case.arguments.items()}
    x = torch.from_numpy(stored["values"][0] if "values" in stored else stored["x"])
    image = ValueReference("image")
    if "values" in stored:
        stored["values"] = [image, *stored["values"][1:]]
    else:
        stored["x"] = image
    outputs = case.output if isinstance(case.output, tuple) else (case.output,)
    shapes = tuple(tuple(torch.tensor(numbers).shape) for numbers in outputs)
    names = tuple(f"made_{i}" for i in range(len(outputs)))
    step = Step(case.operation, stored, {}, {}, names, False, False, shapes)
    build = Builder((1, 1), images=(1, 1))
    build.pixels.meta[VALUE] = [x.to("meta")] * 2
    values: dict[str, Any] = {"image": build.pixels}
    lift_step(step, build, values, "a.mlpackage")
    build.graph.output(tuple(values[name] for name in names))
    build.graph.eliminate_dead_code()
    found = runnable(build.graph, build.tensors)(x)
    operations = [operation_of(node) for node in build.graph.nodes]
    return found, [name for name in operations if name is not None]


def uses(cases: Iterable[Case]) -> tuple[list[Case], list[str]]:
    """The cases that are lifted, and what is said of the others."""
    fine, said = [], []
    for case in cases:
        try:
            written(case)
            fine.append(case)
        except CannotRunHere as error:
            said.append(str(error))
    return fine, said


FINE, SAID = uses(KNOWN)


@pytest.mark.parametrize("case", FINE, ids=named)
def test_a_lifted_operation_gives_what_a_hand_computes(case: Case) -> None:
    found, _ = written(case)
    outputs = case.output if isinstance(case.output, tuple) else (case.output,)
    for made, numbers in zip(found, outputs, strict=True):
        wanted = torch.tensor(numbers).float()
        torch.testing.assert_close(made, wanted, rtol=0, atol=1e-6)


def test_each_entry_has_a_case_by_hand() -> None:
    assert {case.operation for case in FINE} | BY_COMPOSITES == set(ENTRIES)


def test_a_use_without_an_entry_is_named() -> None:
    assert sorted(SAID) == [
        f"operation {use} is not known here"
        for use in (
            "elu of Core ML with alpha 2",
            "gelu of Core ML with mode SIGMOID_APPROXIMATION",
            "pad of Core ML with mode reflect",
            "pad of Core ML with mode replicate",
            "slice_by_index of Core ML with stride [1, -1]",
        )
    ]


@pytest.mark.parametrize(
    ("arguments", "operation", "wanted"),
    [
        ({"alpha": 0.0, "beta": 6.0}, "clip", ["hardtanh"]),
        ({"alpha": -1.0, "beta": 65504.0}, "clip", ["clamp"]),
        ({"alpha": 1 / 6, "beta": 0.5}, "sigmoid_hard", ["hardsigmoid"]),
        ({"alpha": 0.2, "beta": 0.5}, "sigmoid_hard", ["mul.Tensor", "add.Tensor", "hardtanh"]),
        ({"y": 0.5}, "maximum", ["clamp"]),
        ({"y": [0.5, 1.0]}, "maximum", ["maximum"]),
    ],
)
def test_one_operation_of_pytorch_stays_one(
    arguments: dict[str, Any], operation: str, wanted: list[str]
) -> None:
    _, found = written(Case(operation, {"x": [1.0, 2.0], **arguments}, [1.0, 2.0]))
    assert found == wanted


def test_an_interleaved_concatenation_is_a_shuffle_of_channels() -> None:
    values = ([[[[1.0]], [[2.0]]]], [[[[3.0]], [[4.0]]]])
    case = Case(
        "concat",
        {"values": values, "axis": 1, "interleave": True},
        [[[[1.0]], [[3.0]], [[2.0]], [[4.0]]]],
    )
    assert written(case)[1] == ["cat", "reshape", "permute", "reshape"]


def test_a_number_with_one_axis_is_a_number() -> None:
    case = Case("mul", {"x": [1.0, 2.0], "y": [0.5]}, [0.5, 1.0])
    assert written(case)[1] == ["mul.Tensor"]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("relu", {"x": [1.0]}, [[1.0]]), r"declared \(\(1, 1\),\)"),
        (Case("softmax", {"x": [1.0]}, [1.0]), "softmax lacks its argument 'axis'"),
        (Case("add", {"x": [1.0, 2.0], "y": [1.0, 2.0, 3.0]}, [1.0, 2.0]), "does not fit"),
    ],
)
def test_what_does_not_fit_together_is_unreadable(case: Case, reason: str) -> None:
    with pytest.raises(Unreadable, match=f"a.mlpackage: .*{reason}"):
        written(case)


def test_an_operation_without_an_entry_is_named() -> None:
    with pytest.raises(CannotRunHere, match="operation erf of Core ML is not known here"):
        written(Case("erf", {"x": [0.0]}, [0.0]))
