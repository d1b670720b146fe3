"""The table of operations as a whole."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch

from export.errors import CannotRunHere
from export.formats.coreml.evaluator.operations import OPERATIONS, SELECTING, operate
from tests.export.formats.coreml.evaluator.operations.cases import as_stored

FAMILIES = sorted(
    {path.stem for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).stem}
)
BY_HAND = [
    case for family in FAMILIES for case in import_module(f"{__package__}.{family}").CASES.values()
]


def test_each_operation_has_a_case_by_hand() -> None:
    assert {case.operation for case in BY_HAND} == set(OPERATIONS)


@pytest.mark.parametrize("operation", sorted(SELECTING))
def test_what_needs_no_rounding_gives_its_inputs_or_zeros(operation: str) -> None:
    for case in BY_HAND:
        if case.operation != operation:
            continue
        arguments = {name: as_stored(given) for name, given in case.arguments.items()}
        given = arguments["values"] if "values" in arguments else [arguments["x"]]
        numbers = {0.0, *(float(n) for array in given for n in array.reshape(-1))}
        made = operate(operation, arguments)
        found = torch.cat([m.reshape(-1) for m in made]) if isinstance(made, tuple) else made
        assert set(found.reshape(-1).tolist()) <= numbers


def test_an_operation_that_is_not_in_the_table_cannot_run_here() -> None:
    with pytest.raises(CannotRunHere, match="operation conv_of_tomorrow"):
        operate("conv_of_tomorrow", {})
