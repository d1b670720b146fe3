"""Bytecode is followed as torch's own machine does: stack, registers, branches and loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.formats.torchscript.lite_file.bytecode_calls import called_records
from export.formats.torchscript.lite_file.bytecode_machine import MOST_STEPS, LiteObject, follow
from export.formats.torchscript.lite_file.safe_unpickler import Record, read_pickle

PYTHON = {
    "aten::add": lambda a, b: a + b,
    "aten::lt": lambda a, b: a < b,
    "aten::len": len,
    "aten::append": lambda a, b: [*a, b],
    "aten::mul": lambda a, b: a * b,
}


def operator(name: str, overload: str, arguments: list[Any]) -> list[Any]:
    return [PYTHON[name](*arguments)]


def function(*instructions: tuple[str, int, int], constants: tuple[Any, ...] = ()) -> Any:
    return {"instructions": instructions, "constants": constants, "operators": []}


def compiled(module: nn.Module, folder: Path) -> dict[str, Any]:
    """The bytecode of a scripted module's ``forward``."""
    path = folder / "code.ptl"
    torch.jit.script(module)._save_for_lite_interpreter(str(path))
    reader = torch._C.PyTorchFileReader(str(path))
    document = read_pickle(reader, "bytecode.pkl", path.name)
    return next(dict(body) for name, body, *_ in document[1:] if name.endswith(".forward"))


class Loops(nn.Module):
    def forward(self, most: int, limit: int) -> int:
        total = 0
        for i in range(most):
            if total < limit:  # noqa: SIM108 - a branch of two blocks
                total = total + i
            else:
                total = total * 2
        while total < limit:
            total = total + 7
        return total


@pytest.mark.parametrize(("most", "limit"), [(0, 0), (0, 20), (4, 3), (9, 100), (5, 2)])
def test_branches_and_loops_go_where_torch_goes(most: int, limit: int, tmp_path: Path) -> None:
    module = Loops()
    found = follow(compiled(module, tmp_path), [LiteObject(), most, limit], operator)
    assert found == module(most, limit)


def test_attributes_are_set_and_read_by_their_number() -> None:
    module = LiteObject({0: 5})
    code = function(
        ("STOREN", 1, 2),
        ("LOAD", 1, 0),
        ("MOVE", 2, 0),
        ("SET_ATTR", 3, 0),
        ("LOAD", 1, 0),
        ("GET_ATTR", 3, 0),
        ("LOAD", 1, 0),
        ("GET_ATTR", 0, 0),
        ("TUPLE_CONSTRUCT", 2, 0),
        ("RET", 0, 0),
    )
    assert follow(code, [module, "given"], operator) == ("given", 5)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ([("JMP", 0, 0)], "it does not end"),
        ([("JMP", 5, 0)], "it does not end, at instruction 5"),
        ([("DROP", 0, 0)] * 3, "1 values wanted of a stack of 0"),
        ([("JF", 2, 0), ("RET", 0, 0)], "a branch depends on what is not known"),
        ([("GET_ATTR", 0, 0)], "an attribute of what is no object"),
        ([("FORK", 0, 0)], "instruction FORK is not expected"),
        ([("LIST_CONSTRUCT", 0, 2), ("LIST_UNPACK", 3, 0)], "3 values wanted of a list of 2"),
    ],
)
def test_inconsistent_code_is_refused(code: list[tuple[str, int, int]], message: str) -> None:
    assert MOST_STEPS > 100_000
    with pytest.raises(ValueError, match=message):
        follow(function(*code), ["module", "image"], operator)


def test_prepacked_layers_are_found_behind_sizes_and_lists() -> None:
    first, second = Record("one"), Record("two")
    code = {
        "instructions": [
            ("STOREN", 1, 2),
            ("LOAD", 2, 0),
            ("OP", 0, 0),  # size
            ("NUM_TO_TENSOR", 0, 0),
            ("STORE", 3, 0),
            ("MOVE", 2, 0),
            ("LOADC", 1, 0),
            ("OP", 1, 0),
            ("OP", 2, 0),  # chunk
            ("LIST_UNPACK", 2, 0),
            ("LOADC", 0, 0),
            ("OP", 1, 0),
            ("MOVE", 3, 0),
            ("LIST_CONSTRUCT", 0, 3),
            ("RET", 0, 0),
        ],
        "operators": [
            ("aten::dim", "", 1),
            ("prepacked::conv2d_clamp_run", "", 2),
            ("aten::chunk", "", 1),
        ],
        "constants": [second, first],
    }
    assert called_records(code) == [(first, "constant 1"), (second, "constant 0")]


def test_a_number_and_a_device_are_read(tmp_path: Path) -> None:
    class Held(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.to(torch.device("cpu")) * torch.tensor(2.5)

    path = tmp_path / "held.ptl"
    traced = torch.jit.trace(Held(), torch.zeros(2))
    traced._save_for_lite_interpreter(str(path))
    document = read_pickle(torch._C.PyTorchFileReader(str(path)), "bytecode.pkl", path.name)
    constants = dict(document[1][1])["constants"]
    assert "cpu" in constants
    (number,) = (each for each in constants if isinstance(each, np.ndarray))
    assert number.shape == ()
    assert number == 2.5
