from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cli.main import main, make_parser


def test_options_hold_before_and_after_the_word_peers() -> None:
    parser = make_parser()
    before = parser.parse_args(["--rounds", "3", "peers"])
    after = parser.parse_args(["peers", "--rounds", "3"])
    assert before == after
    assert before.rounds == 3
    assert before.threads == [1, 2]


def test_without_a_word_the_published_artifacts_are_timed() -> None:
    options, peers = make_parser().parse_args([]), make_parser().parse_args(["peers"])
    assert options.command is not peers.command
    assert options.out == peers.out == Path("build/benchmarks")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rounds", "0"], "--rounds"),
        (["--threads", "0"], "--threads"),
        (["peers", "--threads", "1", "1"], "twice"),
        (["peers", "--only", "openvino,opnvino"], "no peer opnvino; there are: openvino"),
        (["peers", "--assets", "nowhere"], "no assets at nowhere"),
    ],
)
def test_a_bad_request_ends_with_2_and_one_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib\n"
        "from benchmarks.cli.main import main\n"
        "with contextlib.suppress(SystemExit): main(['peers', '--help'])\n"
        "assert not {'torch', 'numpy', 'rich', 'onnxruntime'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "make peers" in done.stdout
