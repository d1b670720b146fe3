from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.cli.main import main
from benchmarks.training.run import TrainingTimes, measure_training, print_training_table
from pipeline.errors import BadInput
from tests.conftest import write_images

PLANTED = (sys.executable, str(Path(__file__).parent / "planted_training.py"))


def times(data: Path, *seeds: int, target: float = 0.8) -> TrainingTimes:
    return measure_training(data, seeds, 1, target, lambda _: None, PLANTED)


def test_the_ratio_is_taken_within_a_seed_and_the_median_over_seeds(image_folder):
    found = times(image_folder, 2, 3, 8)
    assert [(row.name, row.seed) for row in found.rows] == [
        (name, seed) for seed in (2, 3, 8) for name in ("plain fastai", "ours")
    ]
    assert [row.seconds for row in found.rows] == [18.0, 3.0, 21.0, 3.0, 36.0, 3.0]
    assert found.ratios == (0.167, 0.143, 0.083)
    assert found.median_ratio == 0.143


def test_a_training_that_does_not_get_there_is_a_row_without_a_ratio(image_folder):
    found = times(image_folder, 4)
    plain = found.rows[0]
    assert (plain.status, plain.seconds, plain.epochs) == ("not_reached", None, 5)
    assert found.ratios == ()
    assert found.median_ratio is None
    assert found.ratio_below == {"4": 0.08}  # 3 s of the 40 s after which it gave up


def test_a_training_that_dies_is_reported_with_its_last_words(image_folder):
    found = times(image_folder, 5)
    ours = found.rows[1]
    assert (ours.status, ours.reason) == ("failed", "out of memory")
    assert ours.seconds is None  # though it had reported the target before it died
    assert found.median_ratio is None


def test_the_table_shows_every_training_and_the_ratio(image_folder):
    console = Console(file=io.StringIO(), width=120)
    print_training_table(console, times(image_folder, 2, 4))
    text = console.file.getvalue()
    assert text.count("plain fastai") >= 2
    assert "not_reached: AUROC 0.8 not reached" in text
    assert "ours takes 0.17 x" in text


def test_data_with_three_labels_are_refused(image_folder):
    for split in ("train", "valid"):
        write_images(image_folder / split, "third", 3)
    with pytest.raises(BadInput, match="needs two"):
        times(image_folder, 2)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--target", "1.5"], "between 0.5 and 1"),
        (["--threads", "0"], "at least 1"),
        (["--seeds", "2", "2"], "once"),
    ],
)
def test_a_bad_request_is_exit_2(image_folder, capsys, option, told):
    assert main(["training", "--data", str(image_folder), *option]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.ci("trains twice in processes of their own")
def test_both_trainings_learn_what_a_child_sees(tmp_path, image_folder):
    out = tmp_path / "out"
    command = ["training", "--data", str(image_folder), "--seeds", "2", "--target", "0.9"]
    assert main([*command, "--out", str(out)]) == 0
    found = json.loads((out / "training.json").read_text())
    assert [row["status"] for row in found["rows"]] == ["done", "done"]
    assert found["median_ratio"] > 0
    released = Path(__file__).parents[2] / "docs" / "results" / "training.json"
    assert found.keys() == json.loads(released.read_text(encoding="utf-8")).keys()
