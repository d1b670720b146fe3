"""The bench of what grows: its images are a data set, its figures are those of a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.growth import draw, peak, start_of_training
from pipeline.checkpoint import RELEASED, open_checkpoint
from pipeline.data.dataset import read_dataset
from pipeline.errors import BadInput


def test_drawn_photographs_are_a_data_set_of_the_released_models_labels(tmp_path: Path) -> None:
    split = read_dataset(draw(tmp_path / "split", 10, split=True))
    assert split.labels == open_checkpoint(RELEASED).spec.labels
    assert (len(split.train), len(split.valid)) == (2, 10)
    unsplit = read_dataset(draw(tmp_path / "unsplit", 16, split=False))
    assert (len(unsplit.train), len(unsplit.valid)) == (12, 4)


def test_peak_and_time_are_of_the_process(tmp_path: Path) -> None:
    peak_mb, seconds = peak("this")
    assert peak_mb > 5  # at most: Linux counts what the parent held when it forked
    assert seconds > 0


def test_a_command_that_fails_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="pipeline show nowhere ended with 2"):
        peak("pipeline", "show", "nowhere")
    with pytest.raises(BadInput, match="train ended before its first epoch"):
        start_of_training(tmp_path / "nowhere", tmp_path / "out")
