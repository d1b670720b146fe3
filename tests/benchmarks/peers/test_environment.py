from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.peers import __main__ as command
from benchmarks.peers import environment
from benchmarks.peers.environment import install, is_installed, peer_python, recipe_of
from benchmarks.peers.runtimes import ncnn_peer, openvino_peer, stock_onnx
from pipeline.errors import MissingDependency
from tests.benchmarks import planted_peer


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str | Path]]:
    """What would be run; pip cannot find ncnn."""
    calls: list[Sequence[str | Path]] = []

    def run(command: Sequence[str | Path], failure: str, way_out: str, **rest: object) -> None:
        calls.append(command)
        if any(str(word).startswith("ncnn==") for word in command):
            raise MissingDependency(f"{failure} (No matching distribution); {way_out}")

    monkeypatch.setattr(environment, "run_program", run)
    return calls


def test_a_peer_that_cannot_be_installed_does_not_stop_the_rest(
    pip: list[Sequence[str | Path]],
) -> None:
    said: list[str] = []
    failures = install([ncnn_peer, openvino_peer], said.append)
    assert len(failures) == 1
    assert "ncnn" in failures[0]
    assert "make peers needs a network" in failures[0]
    assert not is_installed(ncnn_peer)
    assert is_installed(openvino_peer)
    assert failures[0] in said


def test_installing_again_fetches_only_what_is_missing(pip: list[Sequence[str | Path]]) -> None:
    install([openvino_peer], lambda line: None)
    before = len(pip)
    said: list[str] = []
    install([openvino_peer, planted_peer], said.append)
    assert len(pip) == before
    assert said == ["OpenVINO: already installed", "Planted: needs nothing more"]


def test_only_the_pinned_packages_are_fetched_and_from_wherever_pip_is_set_up_for(
    pip: list[Sequence[str | Path]],
) -> None:
    install([openvino_peer], lambda line: None)
    words = [str(word) for word in pip[0]]
    assert "--no-deps" in words
    assert words[-len(openvino_peer.PACKAGES) :] == list(openvino_peer.PACKAGES)
    assert not any("index" in word or "://" in word for word in words)


def test_an_environment_of_other_packages_or_another_torch_counts_as_missing(
    pip: list[Sequence[str | Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    install([openvino_peer, stock_onnx], lambda line: None)
    monkeypatch.setattr(openvino_peer, "PACKAGES", ("openvino==2099.1.0",))
    assert not is_installed(openvino_peer)
    assert is_installed(stock_onnx)
    monkeypatch.setattr(environment, "version", lambda name: "99.0")
    assert not is_installed(stock_onnx)
    assert "beside torch==99.0" in recipe_of(stock_onnx)


def test_the_install_command_ends_with_2_when_something_is_missing(
    pip: list[Sequence[str | Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["install", "openvino", "ncnn"]) == 2
    assert "1 of the peers cannot be installed" in capsys.readouterr().err
    assert command.main(["install", "openvino"]) == 0
    assert command.main(["install", "opnvino"]) == 2
    capsys.readouterr()
    assert command.main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "installed" in listed
    assert "make peers" in listed


def test_a_peers_process_sees_its_own_packages_first_and_nothing_of_the_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("SOME_SETTING", "1")
    (tmp_path / "packages" / "rich").mkdir(parents=True)
    (tmp_path / "packages" / "rich" / "__init__.py").write_text("")
    code = "import rich, sys, os; print(rich.__file__, os.environ.get('SOME_SETTING'), sys.path)"
    start, variables = peer_python(stock_onnx, tmp_path / "packages")
    run = subprocess.run([*start, "-c", code], env=variables, capture_output=True, text=True)
    assert run.stdout.startswith(str(tmp_path / "packages"))
    assert " None " in run.stdout
    assert "/elsewhere" not in run.stdout


def test_a_peer_without_torch_does_not_see_this_projects_packages(tmp_path: Path) -> None:
    _, alone = peer_python(openvino_peer, tmp_path)
    _, beside = peer_python(stock_onnx, tmp_path)
    assert len(alone["PYTHONPATH"].split(os.pathsep)) == 2  # its own, and the project's modules
    assert len(beside["PYTHONPATH"].split(os.pathsep)) > 2
