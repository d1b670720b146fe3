"""Training reported in a log, where bars would leave each of their states."""

from __future__ import annotations

import sys

import pytest

from pipeline.data.dataset import read_dataset
from tests.pipeline.training.short_fit import fitted


@pytest.fixture
def dataset(image_folder):
    return read_dataset(image_folder)


def test_in_a_log_each_epoch_is_one_line_below_the_names(dataset, capsys):
    _, fit = fitted(dataset, frozen_epochs=1, finetune_epochs=2)
    said = capsys.readouterr().out
    assert "\r" not in said
    names, first, again, second, third = (line.split() for line in said.splitlines())
    assert names == again
    assert names == ["epoch", "train_loss", "valid_loss", "accuracy", "recall", "auroc", "time"]
    assert [first[0], second[0], third[0]] == ["0", "0", "1"]
    for line, epoch in zip((first, second, third), fit.history, strict=True):
        assert float(line[1]) == pytest.approx(epoch.train_loss, abs=1e-6)
        assert float(line[5]) == pytest.approx(epoch.auroc, abs=1e-6)


def test_a_terminal_gets_the_bars(dataset, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    fitted(dataset)
    assert "\r" in capsys.readouterr().out


def test_of_several_processes_only_the_first_prints(dataset, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.training.learner.rank", lambda: 1)
    fitted(dataset)
    assert capsys.readouterr().out == ""
