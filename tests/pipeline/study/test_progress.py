from __future__ import annotations

from pathlib import Path

from pipeline.study.progress import Board
from tests.pipeline.study_document import trial


def make_board(place: Path) -> Board:
    return Board([trial("small", "paper", seed, place) for seed in (2, 3)])


def all_done(board: Board) -> float:
    (task,) = [task for task in board.progress.tasks if task.id == board.all]
    assert task.total == 12  # two trials, three epochs each, 12 images by 10
    return task.completed


def test_the_board_reports_what_begins_and_its_result(capsys, tmp_path):
    board = make_board(tmp_path)
    board.look()
    assert capsys.readouterr().out == ""
    board.trials[0].progress.write_text("0")
    board.look()
    board.look()
    assert capsys.readouterr().out == "trial 1 of 2: small-paper-seed2 begins\n"
    board.end(board.trials[0], "accuracy 0.9")
    assert capsys.readouterr().out == "small-paper-seed2: accuracy 0.9\n"


def test_the_board_counts_the_batches_of_all_trials(tmp_path):
    board = make_board(tmp_path)
    assert all_done(board) == 0
    for trial_, batches in zip(board.trials, ("4", "1"), strict=True):
        trial_.progress.write_text(batches)
    board.look()
    assert all_done(board) == 5
    assert [task.completed for task in board.progress.tasks] == [5, 4, 1]
    board.end(board.trials[0], "done")
    assert all_done(board) == 7
    assert len(board.progress.tasks) == 2


def test_a_progress_file_that_is_half_written_is_no_error(tmp_path):
    board = make_board(tmp_path)
    board.trials[0].progress.write_text("")
    board.look()
    assert all_done(board) == 0
