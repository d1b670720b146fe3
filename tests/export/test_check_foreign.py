"""`check --arch` and `--oldest` judge by the foreign runtime, never by the installed one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.check import check_published
from export.cli import main
from export.errors import CannotRunHere
from export.foreign.environments import Environment
from export.foreign.execute import ForeignRun
from export.formats import FORMATS
from tests.export.conftest import Exported, Model

RUN = "export.foreign.execute.run_foreign"


def answers(shift: float, asked: list[str]) -> object:
    """A foreign runtime whose first probability is off by `shift`; notes who was asked."""

    def run(environment: Environment, name: str, path: Path, images: np.ndarray) -> ForeignRun:
        asked.append(environment.name)
        probs = FORMATS[name].run(FORMATS[name].load(path, threads=1), images)
        probs[0] += np.array([shift, -shift], np.float32)
        return ForeignRun(probs, f"{environment.packages[0]} on paper", 0.0, 0.0)

    return run


def test_each_android_file_is_run_by_its_foreign_environment(
    exported: Exported, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(RUN, answers(0.0, asked))
    rows, _ = check_published(exported.root, model.folder, data, 100, "arm64")
    assert asked == ["arm64-onnxruntime", "arm64-onnxruntime", "arm64-torch"]
    assert [(row.place, row.format) for row in rows] == [
        ("android", "onnx"),
        ("android", "ort"),
        ("android", "torchscript"),
    ]
    assert {row.parity.status for row in rows} == {"pass"}
    assert all(row.parity.how.endswith("on paper") for row in rows)


def test_a_foreign_runtime_that_answers_otherwise_fails_though_the_installed_one_passes(
    exported: Exported, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN, answers(0.01, []))
    rows, _ = check_published(exported.root, model.folder, data, 100, "oldest")
    found = {row.format: row.parity.status for row in rows}
    assert found == {"onnx": "fail", "ort": "fail", "torchscript": "not_run"}


@pytest.mark.parametrize(
    ("option", "target"), [(["--arch", "arm64"], "arm64"), (["--oldest"], "oldest")]
)
def test_what_is_not_installed_is_not_run_and_names_the_make_target(
    option: list[str],
    target: str,
    exported: Exported,
    model: Model,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def absent(*_: object) -> None:
        raise CannotRunHere(f"not installed; make {target}")

    monkeypatch.setattr(RUN, absent)
    command = ["check", "--assets", str(exported.root), "--checkpoint", str(model.folder)]
    command += ["--data", str(data), *option]
    assert main(command) == 0
    output = capsys.readouterr().out
    assert "0 passed, 0 failed, 3 not run of 3 artifacts" in output
    assert f"make {target}" in output
    assert main([*command, "--strict"]) == 1
