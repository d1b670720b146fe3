"""What is printed: escaped where it must be, and lines for a callback where that is wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.terminal.console import printed_to, shown

ROOT = Path(__file__).parents[3]


def test_names_of_any_script_are_shown_as_they_are() -> None:
    assert shown("fünf weiß/été 赤 1.png") == "fünf weiß/été 赤 1.png"


def test_what_could_act_on_a_terminal_is_escaped_and_the_rest_stays() -> None:
    assert shown("é\x1b[31m\n\u202e") == "é\\x1b[31m\\n\\u202e"


def test_a_file_name_that_is_not_utf_8_can_be_printed() -> None:
    shown(os.fsdecode(b"caf\xe9.png")).encode("utf-8")


def test_lines_reach_the_callback_whole_and_nothing_else_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    with printed_to(said.append):
        print("one", end=" ")
        print("two")
        print("three", end="")
    assert said == ["one two", "three"]
    assert capsys.readouterr().out == ""


def test_of_a_bar_only_its_last_state_is_a_line() -> None:
    said: list[str] = []
    with printed_to(said.append):
        print("10 %\r50 %\r100 %")
        print("9 of 10\r10 of 10\r", end="")
    assert said == ["100 %", "10 of 10"]


def test_a_callback_may_print(capsys: pytest.CaptureFixture[str]) -> None:
    with printed_to(print):
        print("heard")
    assert capsys.readouterr().out == "heard\n"


def test_without_a_callback_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with printed_to(None):
        print("unheard")
    print("after")
    assert capsys.readouterr().out == "after\n"


def test_a_console_without_the_script_of_a_label_gets_it_escaped() -> None:
    code = "from pipeline.terminal.console import serve; serve(lambda: print('été') or 0, '')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\\xe9t\\xe9\n"
