"""What is written is read again; anything else is refused, with the place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import BadInput
from pipeline.program.batch_norm_folding import folded
from pipeline.program.program import Program, place_of
from pipeline.program.reading import program_of as read
from pipeline.program.reading import read_program
from pipeline.program.writing import document, write_program
from tests.pipeline.program.small_networks import KINDS, pixels, program_of, small_program

Document = dict[str, Any]


@pytest.fixture(scope="module")
def residual() -> Program:
    return small_program("residual")


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_was_written_and_read_is_the_same(kind: str, tmp_path: Path) -> None:
    program = small_program(kind)
    write_program(tmp_path, program)
    again = read_program(tmp_path)
    assert document(again) == document(program)
    assert [place_of(n) for n in again.operations()] == [place_of(n) for n in program.operations()]
    for images in (1, 3):
        assert torch.equal(again.network(pixels(images)), program.network(pixels(images)))
    assert [n for n, _ in again.network.named_parameters()] != []


def test_the_same_program_is_the_same_bytes(residual: Program, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_program(tmp_path / name, residual)
    for file in ("program.json", "program.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_folded_program_can_be_written(residual: Program) -> None:
    program = folded(residual)
    again = read(document(program), program.tensors(), "x.json")
    assert torch.equal(again.network(pixels()), program.network(pixels()))


def test_a_bound_without_end_is_written() -> None:
    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.clamp(0.0, float("inf")).mean((2, 3))

    program = program_of(Network().eval())
    assert {"number": "inf"} in document(program)["operations"][0]["arguments"].values()
    again = read(json.loads(json.dumps(document(program), allow_nan=False)), {}, "x.json")
    assert torch.equal(again.network(pixels()), program.network(pixels()))


def _step(name: str, **changes: object) -> Callable[[Document], None]:
    def change(written: Document) -> None:
        (step,) = (s for s in written["operations"] if s["name"] == name)
        step["arguments"].update(changes)

    return change


def _all(**changes: object) -> Callable[[Document], None]:
    return lambda written: written.update(changes)


def _operation(name: str, operation: str) -> Callable[[Document], None]:
    def change(written: Document) -> None:
        (step,) = (s for s in written["operations"] if s["name"] == name)
        step["operation"] = operation

    return change


def _move(written: Document) -> None:
    written["operations"].append(written["operations"].pop(0))


def _twice(written: Document) -> None:
    written["operations"].append(written["operations"][-1])


def _drop_tensor(written: Document) -> None:
    del written["tensors"]["norm.bias"]


DAMAGE: dict[str, tuple[Callable[[Document], None], str]] = {
    "unknown operation": (
        _operation("relu_relu", "system"),
        "at relu_relu: 'system' is not an operation of a program",
    ),
    "operation of torch outside the list": (
        _operation("relu_relu", "from_file"),
        "at relu_relu: 'from_file' is not an operation",
    ),
    "word for a number": (_step("stem_conv2d", groups="one"), "groups is 'one', not int"),
    "truth for a number": (_step("stem_conv2d", groups=True), "groups is True, not int"),
    "number for a list": (_step("mean", keepdim=3), "at mean: mean.dim: keepdim is 3, not bool"),
    "tensor for a number": (
        _step("stem_conv2d", groups={"tensor": "stem.bias"}),
        "groups is stem_bias, not int",
    ),
    "number for a tensor": (_step("stem_conv2d", weight=1), "weight is 1, not Tensor"),
    "unknown argument": (_step("relu_relu", more=1), "relu has no argument more"),
    "evaluation mode": (
        _step("norm_batch_norm", training=True),
        "has no argument training",
    ),
    "a loop": (
        _step("first_conv2d", input={"node": "norm_batch_norm"}),
        "at first_conv2d: it takes the node norm_batch_norm, of which nothing before it tells",
    ),
    "itself": (_step("relu_relu", self={"node": "relu_relu"}), "at relu_relu: it takes the node"),
    "what comes later": (_move, "it takes the node stem_conv2d, of which nothing before it tells"),
    "a name twice": (_twice, "at head_linear: an operation before it has this name"),
    "a tensor that nothing names": (_drop_tensor, "its file has a tensor norm.bias that"),
    "a tensor that nothing takes": (
        _step("norm_batch_norm", bias=None),
        "no operation uses the tensor norm.bias",
    ),
    "an operation that nothing takes": (
        _step("relu_relu", self={"node": "stem_conv2d"}),
        "nothing uses the result of norm_batch_norm",
    ),
    "an output that is not there": (_all(outputs=["logits"]), "the output logits is not an"),
    "an output of another shape": (_all(outputs=["stem_conv2d"]), "nothing uses the result"),
    "a size that does not fit": (_step("stem_conv2d", stride=[7, 7]), None),
    "weights crosswise": (
        _step("stem_conv2d", weight={"tensor": "first.weight"}),
        "no operation uses the tensor stem.weight",
    ),
    "Python for a name": (
        _step("relu_relu", self={"node": "x); import os; ("}),
        r"is damaged at \$\.operations",
    ),
    "another schema": (_all(schema=2), r"is damaged at \$\.schema"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_document_is_refused_with_the_place(
    residual: Program, damage: Callable[[Document], None], message: str | None
) -> None:
    written = copy.deepcopy(document(residual))
    damage(written)
    if message is None:  # another program, but one
        assert read(written, residual.tensors(), "x.json")
        return
    with pytest.raises(BadInput, match=message) as raised:
        read(written, residual.tensors(), "x.json")
    assert str(raised.value).startswith("x.json is damaged")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"stem.bias": None}, "the tensor stem.bias is not in its file"),
        ({"more": torch.zeros(1)}, "its file has a tensor more that the program does not name"),
        ({"stem.bias": torch.zeros(9)}, "at stem: "),
        ({"stem.bias": torch.zeros(8).half()}, "the tensor stem.bias is torch.float16"),
        ({"stem.bias": torch.zeros(8, dtype=torch.int64)}, "a parameter is torch.int64"),
    ],
)
def test_tensors_of_another_program_are_refused(
    residual: Program, tensors: dict[str, Tensor | None], message: str
) -> None:
    changed = {k: v for k, v in {**residual.tensors(), **tensors}.items() if v is not None}
    with pytest.raises(BadInput, match=message):
        read(document(residual), changed, "x.json")


def test_a_missing_file_is_told(residual: Program, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no program at .*program\.json"):
        read_program(tmp_path)
    write_program(tmp_path, residual)
    (tmp_path / "program.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="is not a safetensors file"):
        read_program(tmp_path)
    (tmp_path / "program.safetensors").unlink()
    with pytest.raises(BadInput, match=r"program\.safetensors cannot be read"):
        read_program(tmp_path)
