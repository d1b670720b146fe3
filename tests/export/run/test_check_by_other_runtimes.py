"""`check --arch` and `--oldest` judge by the foreign runtime, never by the installed one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.cli.main import main
from export.errors import CannotRunHere
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.run.check_published import check_published
from export.runtimes.environments import Environment
from export.runtimes.execute import ForeignRun
from tests.export.conftest import ARTIFACTS, Exported, Model

ANDROID = [(name, p) for name, p in ARTIFACTS if "android" in FORMATS[name].platforms]
RUN = "export.runtimes.execute.run_foreign"


def answers(shift: float, asked: list[str]) -> object:
    """A foreign runtime whose first probability is off by `shift`; notes which files it ran."""

    def run(environment: Environment, name: str, path: Path, images: np.ndarray) -> ForeignRun:
        asked.append(environment.name)
        answered = verbs_of(name).run(verbs_of(name).load(path, threads=1), images)
        answered.probs[0] += np.array([shift, -shift], np.float32)
        return ForeignRun(answered, f"{environment.packages[0]} on paper", 0.0, 0.0)

    return run


def test_each_android_file_is_run_by_its_foreign_environment(
    exported: Exported, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(RUN, answers(0.0, asked))
    rows, _ = check_published(exported.root, model.folder, data, 100, "arm64")
    runtimes = {"onnx": "onnxruntime", "ort": "onnxruntime", "torchscript": "torch"}
    assert sorted(asked) == sorted(f"arm64-{runtimes[name]}" for name, _ in ANDROID)
    assert [(row.place, row.format, row.precision) for row in rows] == [
        ("android", *artifact) for artifact in ANDROID
    ]
    assert {row.parity.status for row in rows} == {"pass"}
    assert all(row.parity.how.endswith("on paper") for row in rows)


def test_a_foreign_runtime_with_other_outputs_fails_though_the_installed_one_passes(
    exported: Exported, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN, answers(0.05, []))
    rows, _ = check_published(exported.root, model.folder, data, 100, "oldest")
    found = {(row.format, row.precision): row.parity.status for row in rows}
    expected = {"onnx": "fail", "ort": "fail", "torchscript": "not_run"}
    assert found == {artifact: expected[artifact[0]] for artifact in ANDROID}


def test_a_foreign_runtime_is_compared_with_the_variant_of_the_file(
    exported: Exported, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tolerance of w4 has no room for what rounding the weights moved."""
    monkeypatch.setattr(RUN, answers(0.0, []))
    rows, _ = check_published(exported.root, model.folder, data, 100, "oldest")
    (row,) = [row for row in rows if (row.format, row.precision) == ("onnx", "w4")]
    assert row.parity.max_abs_diff <= 1e-4 < np.abs(model.reference - w4_answers(model)).max()


def w4_answers(model: Model) -> np.ndarray:
    return model.references.of("w4").probs


@pytest.mark.ci("checks a whole export once more")
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
    count = len(ANDROID)
    assert f"0 passed, 0 failed, {count} not run of {count} artifacts" in output
    assert f"make {target}" in output
    assert main([*command, "--strict"]) == 1


@pytest.mark.parametrize(("machine", "images"), [("x86_64", 5), ("aarch64", 2 + 17 + 13)])
def test_emulated_files_are_run_on_a_few_images_and_the_output_says_so(
    machine: str,
    images: int,
    exported: Exported,
    model: Model,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(RUN, answers(0.0, []))
    said: list[str] = []
    limit = 5 if machine == "x86_64" else 2
    rows, source = check_published(exported.root, model.folder, data, limit, "arm64", said.append)
    assert {row.parity.status for row in rows} == {"pass"}
    assert {row.parity.images for row in rows} == {images}
    assert {row.parity.parts["golden"] for row in rows} == {"pass"}
    assert source.startswith("5 of 35 images, those that tell most" if images == 5 else "2 of 6")
    count = len(ANDROID)
    assert [line.split(":")[0] for line in said] == [f"{n + 1} of {count}" for n in range(count)]
