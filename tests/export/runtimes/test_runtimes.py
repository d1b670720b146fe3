"""Foreign runtimes: the register, the cache, the runner. CI runs the published files by them:
`export check --arch` and `--oldest`, in .ci/run.
"""

from __future__ import annotations

import platform
import sysconfig
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from export.errors import CannotRunHere, Unreadable
from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.runtimes import cache, emulator, install
from export.runtimes.__main__ import main
from export.runtimes.environments import ENVIRONMENTS, Environment
from export.runtimes.execute import run_foreign
from pipeline.errors import MissingDependency
from tests.export.conftest import Artifacts, Model

ROOT = Path(__file__).parents[3]
RUNNABLE = ("onnx", "ort", "torchscript")
PAIRS = [(e.name, format_name) for e in ENVIRONMENTS.values() for format_name in e.formats]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mobile-model-export"


@pytest.fixture
def here(empty_cache: Path) -> Environment:
    """The installed packages, presented as an environment of the cache."""
    environment = Environment(
        name="here",
        target="oldest",
        arch="native",
        module="onnxruntime",
        packages=(f"onnxruntime=={version('onnxruntime')}",),
        threads=1,
        formats=RUNNABLE,
    )

    def link(folder: Path) -> None:
        for package in Path(sysconfig.get_path("platlib")).iterdir():
            (folder / package.name).symlink_to(package)

    cache.fill(environment.name, install.recipe_of(environment), link)
    return environment


@pytest.fixture
def intel_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")


def test_register_pins_every_package_and_the_runtime_first() -> None:
    for name, environment in ENVIRONMENTS.items():
        assert environment.name == name
        assert environment.packages[0].startswith(f"{environment.module}==")
        assert all(package.count("==") == 1 for package in environment.packages)
        assert environment.threads == 1


def test_register_serves_formats_by_their_own_runtime() -> None:
    for name, format_name in PAIRS:
        assert ENVIRONMENTS[name].module == FORMATS[format_name].runtime


def test_every_android_format_has_an_arm_environment() -> None:
    android = {name for name in FORMATS if "android" in FORMATS[name].platforms}
    served = {f for e in ENVIRONMENTS.values() if e.arch == "arm64" for f in e.formats}
    assert android == served


def test_arm_onnxruntime_is_the_version_that_this_project_pins() -> None:
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert set(ENVIRONMENTS["arm64-onnxruntime"].packages) <= set(pins)


@pytest.mark.parametrize(("name", "format_name"), PAIRS)
def test_what_is_not_installed_cannot_run_and_names_the_command(
    name: str, format_name: str, empty_cache: Path
) -> None:
    with pytest.raises(CannotRunHere, match=f"make {ENVIRONMENTS[name].target}$"):
        run_foreign(ENVIRONMENTS[name], format_name, Path("model"), np.zeros((1, 8, 8, 3)))


def test_a_format_of_another_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="not torchscript"):
        run_foreign(ENVIRONMENTS["oldest-onnx"], "torchscript", Path("a.ptl"), np.zeros((0,)))


def test_half_finished_install_leaves_nothing(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(environment: Environment, folder: Path) -> None:
        (folder / "half").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "_build", build)
    assert main(["install", "oldest-onnx"]) == 130
    assert list(empty_cache.iterdir()) == []
    assert not install.is_installed(ENVIRONMENTS["oldest-onnx"])


def test_install_keeps_what_is_there(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_build", None)
    lines: list[str] = []
    install.install([here], lines.append)
    assert lines == ["here: there already"]


def test_other_pins_or_another_python_are_another_environment(
    here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert install.is_installed(here)
    assert not install.is_installed(replace(here, packages=("onnxruntime==1.0.0",)))
    monkeypatch.setattr(sysconfig, "get_python_version", lambda: "3.99")
    assert not install.is_installed(here)


def test_a_runtime_that_does_not_start_is_not_installed(
    here: Environment, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "run_program", _only_python(install.run_program))
    broken = replace(here, name="broken", module="no_such_runtime")
    with pytest.raises(MissingDependency, match="No module named 'no_such_runtime'"):
        install.install([broken], lambda line: None)
    assert not (empty_cache / "broken").exists()


def _only_python(run):  # type: ignore[no-untyped-def]
    """`run_program` without pip: no test uses the network."""
    return lambda command, *rest, **more: "pip" in command or run(command, *rest, **more)


@pytest.mark.usefixtures("intel_linux")
def test_without_apt_the_error_is_one_line_with_the_way_out(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(empty_cache))
    assert main(["install", "arm64"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: apt-get is not on this machine; make arm64 needs")
    assert list(empty_cache.iterdir()) == []


def test_arm_environment_is_emulated_except_on_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine, emulated in (("x86_64", True), ("aarch64", False), ("arm64", False)):
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        assert emulator.is_emulated(ENVIRONMENTS["arm64-torch"]) is emulated
        assert not emulator.is_emulated(ENVIRONMENTS["oldest-onnx"])


def test_emulated_processor_is_an_arm_one() -> None:
    assert emulator.CPUINFO.count("processor\t: ") == emulator.CPUINFO.count("0x41") == 4


@pytest.mark.parametrize("format_name", RUNNABLE)
def test_runner_gives_the_formats_outputs(
    format_name: str, here: Environment, artifacts: Artifacts, model: Model
) -> None:
    path = artifacts[format_name, "fp32"]
    verbs = verbs_of(format_name)
    expected = verbs.run(verbs.load(path, threads=1), model.images.pixels)
    answer = run_foreign(here, format_name, path, model.images.pixels)
    for found, known in (
        (answer.answers.probs, expected.probs),
        (answer.answers.evidence, expected.evidence),
    ):
        assert found.dtype == np.float32
        assert found.shape == known.shape
        assert np.abs(found - known).max() <= 1e-5
    assert np.abs(answer.answers.probs - expected.probs).max() <= 1e-6
    name = FORMATS[format_name].runtime
    version = import_module(name).__version__
    assert answer.runtime == f"{name} {version} on {platform.machine()}"


@pytest.mark.parametrize("format_name", RUNNABLE)
def test_garbage_is_unreadable(format_name: str, here: Environment, tmp_path: Path) -> None:
    garbage = tmp_path / f"garbage{FORMATS[format_name].suffix}"
    garbage.write_bytes(b"not a model")
    with pytest.raises(Unreadable, match="cannot load garbage") as caught:
        run_foreign(here, format_name, garbage, np.zeros((1, 64, 64, 3), np.uint8))
    assert len(str(caught.value).splitlines()) == 1


def test_a_model_that_loads_and_cannot_run_is_a_runtime_error(
    here: Environment, artifacts: Artifacts
) -> None:
    images = np.zeros((1, 63, 63, 3), np.uint8)
    with pytest.raises(RuntimeError, match=r"onnxruntime.* of here failed on .*Got: 63"):
        run_foreign(here, "onnx", artifacts["onnx", "fp32"], images)
