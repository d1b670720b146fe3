"""What a command prints to be typed next is typed here, as it was printed."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from export.cli.main import main as export
from pipeline.checkpoint import open_checkpoint
from pipeline.cli.main import main as pipeline
from tests.conftest import make_spec, write_folder, write_network
from tests.printed_commands import printed_commands

PROGRAMS = {"pipeline": pipeline, "export": export}


def typed(line: str) -> int:
    """Run a printed command in this process; its exit code."""
    python, option, module, *arguments = shlex.split(line)
    assert (python, option) == ("python", "-m")
    return PROGRAMS[module](arguments)


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path, Path | None]]:
    """In place of the long work: which command was asked, for which checkpoint and data."""
    asked: list[tuple[str, Path, Path | None]] = []

    def compress(checkpoint: Path, data: Path | None, *_: Any, **__: Any) -> None:
        asked.append(("compress", checkpoint, data))

    def export_all(request: Any, console: object) -> int:
        asked.append(("export", request.checkpoint, request.data))
        return 0

    monkeypatch.setattr("pipeline.compress.compress.compress", compress)
    monkeypatch.setattr("export.run.export_all.export_all", export_all)
    return asked


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder whose name has a blank and a quote."""
    folder = tmp_path / "it's here" / "my models"
    folder.mkdir(parents=True)
    return folder


def test_after_training_both_commands_are_about_the_same_checkpoint_and_images(
    place: Path,
    checkpoint: Path,
    reached: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = shutil.copytree(checkpoint, place / "it's")
    monkeypatch.setattr("pipeline.training.train.train", lambda *_, **__: out)
    assert pipeline(["train", "--data", str(place), "--threads", "1"]) == 0
    for line in printed_commands(capsys.readouterr().out):
        assert typed(line) == 0, line
    assert reached == [("export", out, place), ("compress", out, place)]


def test_after_training_on_phantoms_no_images_are_named(
    checkpoint: Path,
    reached: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pipeline.training.train.train", lambda *_, **__: checkpoint)
    assert pipeline(["train"]) == 0
    for line in printed_commands(capsys.readouterr().out):
        assert typed(line) == 0, line
    assert reached == [("export", checkpoint, None), ("compress", checkpoint, None)]


def test_a_network_that_cannot_be_compressed_gets_no_command_that_would_fail(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = write_network(place / "deep", make_spec())
    monkeypatch.setattr("pipeline.training.train.train", lambda *_, **__: out)
    refused = "body.0 is a ConvTranspose2d, which cannot be compressed yet"
    monkeypatch.setattr("pipeline.compress.compressible.refusal", lambda _: refused)
    assert pipeline(["train", "--data", str(place)]) == 0
    said = capsys.readouterr().out
    assert [shlex.split(line)[2:4] for line in printed_commands(said)] == [["export", "all"]]
    assert "ConvTranspose2d" in said


def test_after_compressing_the_export_has_the_same_images(
    place: Path, reached: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = place / "it's"
    assert pipeline(["compress", str(folder), "--data", str(place)]) == 0
    (line,) = printed_commands(capsys.readouterr().out)
    assert typed(line) == 0
    assert reached == [("compress", folder, place), ("export", folder, place)]


def test_after_adopting_the_export_has_the_same_images(
    place: Path,
    checkpoint: Path,
    reached: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = shutil.copytree(checkpoint, place / "it's")
    monkeypatch.setattr("pipeline.adopt.adopt.adopt", lambda request: out)
    assert pipeline(["adopt", "w.pth", "--labels", "a,b", "--data", str(place)]) == 0
    for line in printed_commands(capsys.readouterr().out):
        assert typed(line) == 0, line
    assert ("export", out, place) in reached


def test_shortcuts_that_failed_are_looked_for_again_by_what_was_printed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = write_folder(place / "some images"), place / "it's"

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    recipe = "--weights none --side 32 --threads 1 --frozen-epochs 1 --epochs 0"
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.shortcuts.analysis.find_shortcuts", fail)
        command = ["train", "--data", str(data), "--out", str(out), *shlex.split(recipe)]
        assert pipeline(command) == 0
    (line,) = [c for c in printed_commands(capsys.readouterr().out) if " shortcuts " in c]
    monkeypatch.chdir(place)
    assert typed(line) == 0
    assert (place / "build" / "shortcuts" / open_checkpoint(out).spec.name).is_dir()


@pytest.mark.slow("trains, compresses and exports a network")
def test_from_training_to_mobile_models_by_what_was_printed(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    data, out = write_folder(place / "some images"), place / "it's"
    recipe = "--weights none --side 32 --threads 1 --frozen-epochs 1 --epochs 1 --no-shortcuts"
    assert pipeline(["train", "--data", str(data), "--out", str(out), *shlex.split(recipe)]) == 0
    exported, compressed = printed_commands(capsys.readouterr().out)
    assert typed(f"{compressed} --precisions w4 --epochs 0 --calibration-images 8") == 0
    (again,) = printed_commands(capsys.readouterr().out)
    assert again == exported
    assert typed(f"{again} --formats onnx --no-latency --jobs 1") == 0
    assert "validation images of some_images" in capsys.readouterr().out
