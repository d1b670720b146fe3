"""A checkpoint that keeps its network as a program, in place of a name that a library builds."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipeline.checkpoint import (
    PROGRAM_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    open_checkpoint,
    write_checkpoint,
)
from pipeline.cli.main import main
from pipeline.errors import BadInput
from pipeline.models.networks import load_network
from pipeline.program.capture import capture
from pipeline.program.writing import document
from tests.conftest import SIDE, make_spec

LABELS = ("grün", 'rød "1"', "青")


def own(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, classes),
    ).eval()


def write(folder: Path, model: nn.Module, **spec: Any) -> Checkpoint:
    folder.mkdir()
    program = capture(model, (SIDE, SIDE))
    values = {"labels": LABELS, "positive": None, "threshold": None, **spec}
    made = make_spec(architecture="program/own", **values)
    return write_checkpoint(folder, made, program.tensors(), program=document(program))


def change_operations(folder: Path, **fields: Any) -> None:
    """Another program under the checkpoint's name, as one who knows its hash would write it."""
    path = folder / PROGRAM_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    spec = json.loads((folder / SPEC_FILE).read_text())
    spec["program"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / SPEC_FILE).write_text(json.dumps(spec))


def test_its_network_computes_what_the_module_did(tmp_path: Path) -> None:
    model = own()
    written = write(tmp_path / "c", model)
    opened = open_checkpoint(tmp_path / "c")
    assert opened == written
    assert opened.spec.labels == LABELS
    assert json.loads((tmp_path / "c" / SPEC_FILE).read_text())["schema"] == 5
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.allclose(load_network(opened)(pixels), model(pixels), atol=1e-6)


def test_it_predicts_with_labels_that_are_not_ascii(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "c", own())
    Image.fromarray(np.full((50, 40, 3), 90, np.uint8)).save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path / "c"), str(tmp_path / "a.png")]) == 0
    assert any(label in capsys.readouterr().out for label in LABELS)


def test_its_identity_is_that_of_its_operations_too(tmp_path: Path) -> None:
    one, other = (write(tmp_path / name, own()) for name in "ab")
    assert one.sha256 == other.sha256
    changed = own()
    changed[1] = nn.GELU()
    third = write(tmp_path / "c", changed)
    assert third.weights_sha256 == one.weights_sha256
    assert third.sha256 != one.sha256


DAMAGES = {
    "a byte more": lambda f: f.write_text(f.read_text() + " "),
    "another operation": lambda f: f.write_text(
        f.read_text().replace("aten", "").replace("silu", "relu")
    ),
    "not JSON": lambda f: f.write_text("{"),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_program_is_refused_with_exit_2(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "c", own())
    DAMAGES[damage](tmp_path / "c" / PROGRAM_FILE)
    Image.fromarray(np.zeros((50, 40, 3), np.uint8)).save(tmp_path / "a.png")
    assert main(["predict", str(tmp_path / "c"), str(tmp_path / "a.png")]) == 2
    told = capsys.readouterr().err
    assert PROGRAM_FILE in told
    assert told.count("\n") == 1


def test_a_program_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a", own())
    other = own()
    other[1] = nn.Mish()
    write(tmp_path / "b", other)
    shutil.copy(tmp_path / "b" / PROGRAM_FILE, tmp_path / "a")
    with pytest.raises(BadInput, match="damaged or of another checkpoint"):
        load_network(open_checkpoint(tmp_path / "a"))


def test_weights_that_the_program_does_not_name_are_refused(tmp_path: Path) -> None:
    opened = write(tmp_path / "c", own())
    program = opened.program_document()
    weights = {**opened.weights(), "more": torch.zeros(1)}
    write_checkpoint(tmp_path / "c", opened.spec, weights, program=program)
    with pytest.raises(BadInput, match="has a tensor more that the program does not name"):
        load_network(open_checkpoint(tmp_path / "c"))


def test_a_program_with_other_operations_than_are_allowed_is_refused(tmp_path: Path) -> None:
    opened = write(tmp_path / "c", own())
    operations = (opened.program_document() or {})["operations"]
    change_operations(
        tmp_path / "c", operations=[{**operations[0], "operation": "system"}, *operations[1:]]
    )
    with pytest.raises(BadInput, match="'system' is not an operation of a program"):
        load_network(open_checkpoint(tmp_path / "c"))


def test_a_program_of_another_number_of_labels_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "c", own(classes=4))
    with pytest.raises(BadInput, match="has 4 outputs, and there are 3 labels"):
        load_network(open_checkpoint(tmp_path / "c"))


@pytest.mark.parametrize(
    "fields",
    [
        {"program": None},
        {"architecture": "squeezenet1_1"},
        {"schema": 1},
        {"head": {"pool": "average_pool", "hidden": []}},
    ],
    ids=str,
)
def test_a_document_that_contradicts_itself_is_refused(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    write(tmp_path / "c", own())
    path = tmp_path / "c" / SPEC_FILE
    changed = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({key: v for key, v in changed.items() if v is not None}))
    with pytest.raises(BadInput, match="is damaged at"):
        open_checkpoint(tmp_path / "c")


def test_a_checkpoint_by_name_has_no_program(checkpoint: Path) -> None:
    opened = open_checkpoint(checkpoint)
    assert opened.program() is None
    assert sorted(path.name for path in checkpoint.iterdir()) == [SPEC_FILE, WEIGHTS_FILE]
