"""The three steps of a hard-swish are one; others stay three."""

from __future__ import annotations

from typing import Any

import pytest

from export.formats.coreml.evaluator.evaluate import Step, ValueReference
from export.formats.coreml.lifting.composites import with_composites
from tests.export.formats.coreml.evaluator.operations.cases import as_stored


def step(operation: str, output: str, **arguments: Any) -> Step:
    """A step of one output; a string names a value."""
    stored = {
        name: ValueReference(given) if isinstance(given, str) else as_stored(given)
        for name, given in arguments.items()
    }
    return Step(operation, stored, {}, {}, (output,), False, False, ((1,),))


def hard_swish(**changes: Any) -> list[Step]:
    numbers = {"threshold": -3.0, "alpha": 1 / 6, "beta": 0.5, "gated": "kept", **changes}
    return [
        step("thresholded_relu", "kept", x="x", alpha=numbers["threshold"]),
        step(
            "sigmoid_hard", "gate", x=numbers["gated"], alpha=numbers["alpha"], beta=numbers["beta"]
        ),
        step("mul", "made", x="kept", y="gate"),
    ]


def operations(steps: list[Step], *answers: str) -> list[str]:
    return [each.operation for each in with_composites(steps, answers)]


def test_a_hard_swish_is_one_step_of_what_it_began_with() -> None:
    (found,) = with_composites(hard_swish(), ["made"])
    assert found.operation == "hardswish"
    assert found.arguments == {"x": ValueReference("x")}
    assert found.outputs == ("made",)


def test_the_order_of_the_factors_makes_no_difference() -> None:
    *before, _ = hard_swish()
    assert operations([*before, step("mul", "made", x="gate", y="kept")], "made") == ["hardswish"]


@pytest.mark.parametrize(
    "change", [{"threshold": -2.0}, {"alpha": 0.2}, {"beta": 0.4}, {"gated": "x"}]
)
def test_other_numbers_make_another_function(change: dict[str, Any]) -> None:
    found = operations(hard_swish(**change), "made")
    assert found == ["thresholded_relu", "sigmoid_hard", "mul"]


def test_a_part_that_something_else_takes_stays() -> None:
    more = step("relu", "more", x="kept")
    found = operations([*hard_swish(), more], "made", "more")
    assert found == ["thresholded_relu", "hardswish", "relu"]


def test_what_no_answer_needs_is_left_out() -> None:
    spare = step("relu", "spare", x="x")
    assert operations([step("tanh", "made", x="x"), spare], "made") == ["tanh"]
