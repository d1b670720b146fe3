from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.checkpoint import RELEASED, open_checkpoint
from pipeline.metrics.classification import auroc
from pipeline.training.record import read_history, read_predictions
from tests.conftest import make_spec

HISTORY = "epoch,stage,train_loss,valid_loss,auroc\n1,frozen,0.5,0.6,nan\n2,finetune,0.4,0.5,0.9\n"
ANSWERS = "file,label,covid19,non_covid19\na,covid19,0.75,0.25\nb,non_covid19,0.5,0.5\n"


def folder(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_epochs_are_read_and_what_is_no_number_is_none(tmp_path: Path) -> None:
    rows, reason = read_history(folder(tmp_path, "history.csv", HISTORY))
    assert reason == ""
    assert rows is not None
    assert rows[0] == {
        "epoch": 1, "stage": "frozen", "train_loss": 0.5, "valid_loss": 0.6, "auroc": None
    }  # fmt: skip
    assert rows[1]["epoch"] == 2


def test_outputs_are_read_in_the_order_of_the_labels(tmp_path: Path) -> None:
    found, reason = read_predictions(folder(tmp_path, "predictions.csv", ANSWERS), make_spec())
    assert reason == ""
    assert found is not None
    assert found.truth.tolist() == [0, 1]
    assert found.probs.tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_the_released_checkpoints_record_gives_its_own_figures() -> None:
    spec = open_checkpoint(RELEASED).spec
    found, _ = read_predictions(RELEASED, spec)
    assert found is not None
    measured = auroc(found.truth, found.probs, spec.positive_index)
    assert measured == pytest.approx(spec.metrics["auroc"]["value"], abs=1e-4)
    rows, _ = read_history(RELEASED)
    assert rows is not None
    assert len(rows) == spec.training["frozen_epochs"] + spec.training["finetune_epochs"]


def test_a_checkpoint_without_them_is_no_fault_and_says_so(tmp_path: Path) -> None:
    assert read_history(tmp_path)[0] is None
    assert "there is no history.csv next to the checkpoint" in read_history(tmp_path)[1]
    assert "there is no predictions.csv" in read_predictions(tmp_path, make_spec())[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no column label"),
        ("file,label,covid19,non_covid19\n", "is empty"),
        ("file,label,covid19\na,covid19,1\n", "has no column non_covid19"),
        ("file,label,covid19,non_covid19\na,covid19,0.5\n", "a row is too short"),
        ("file,label,covid19,non_covid19\na,covid19,0.5,0.5,1\n", "too long"),
        ("file,label,covid19,non_covid19\na,elephant,0.5,0.5\n", "is damaged"),
        ("file,label,covid19,non_covid19\na,covid19,x,0.5\n", "is damaged"),
        (
            "file,label,covid19,non_covid19\na,covid19,nan,0.5\n",
            "holds something that is not a number",
        ),
        ('file,label,covid19,non_covid19\n"a,covid19,0.5,0.5\n', "cannot be read"),
    ],
)
def test_damaged_predictions_are_reported_not_used(text: str, told: str, tmp_path: Path) -> None:
    found, reason = read_predictions(folder(tmp_path, "predictions.csv", text), make_spec())
    assert found is None
    assert told in reason


def test_a_damaged_history_is_reported_not_used(tmp_path: Path) -> None:
    broken = HISTORY.replace("0.4", "much")
    found, reason = read_history(folder(tmp_path, "history.csv", broken))
    assert found is None
    assert "is damaged" in reason


def test_bytes_that_are_no_text_are_reported(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_bytes(b"epoch,stage\n\xff\xfe")
    assert "cannot be read" in read_history(tmp_path)[1]
