from __future__ import annotations

import sys
import tomllib
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from export.cli.main import main
from export.formats.register import FORMATS
from export.run import doctor
from export.run.convert import Conversion
from export.run.doctor import EXACT, examine, out_of_range

CORE_ML_RUNS = sys.platform == "darwin"
ROOT = Path(__file__).parents[3]


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    monkeypatch.setattr(
        "pipeline.errors.find_spec", lambda name: None if name in modules else find_spec(name)
    )


def pretend(monkeypatch: pytest.MonkeyPatch, package: str, number: str) -> None:
    monkeypatch.setattr(
        "export.run.doctor.version", lambda name: number if name == package else version(name)
    )


def test_every_format_is_looked_at() -> None:
    assert [finding.format for finding in examine(try_it=False)] == list(FORMATS)


def test_all_formats_convert_here_and_core_ml_runs_on_a_mac_only() -> None:
    for finding in examine(try_it=False):
        assert (finding.convert, finding.fix) == ("yes", "")
        no_mac = finding.format == "coreml" and not CORE_ML_RUNS
        assert finding.run == ("no: Core ML runs on macOS only" if no_mac else "yes")


def test_a_missing_package_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "onnxsim")
    found = {finding.format: finding for finding in examine(try_it=False)}
    for name in ("onnx", "ort"):
        assert "onnxsim not installed" in found[name].convert
        assert found[name].fix == "python -m pip install -c constraints.txt -e '.[onnx]'"
    assert found["coreml"].fix == ""


def test_a_missing_torch_is_named_with_a_command_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one package without which nothing works must not be a traceback."""
    hide(monkeypatch, "torch")
    found = {finding.format: finding for finding in examine(try_it=False)}
    assert "torch not installed" in found["torchscript"].convert
    assert "pip install" in found["torchscript"].fix


def test_a_torch_without_xnnpack_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("export.formats.torchscript.format.has_xnnpack", lambda: False)
    found = {finding.format: finding for finding in examine(try_it=False)}
    assert found["torchscript"].convert == "no: this torch has no XNNPACK"
    assert found["torchscript"].fix == EXACT


def test_the_installed_versions_are_in_range() -> None:
    assert out_of_range() == []


@pytest.mark.parametrize(
    ("package", "number"),
    [("torch", "2.13.0"), ("torch", "2.6.0"), ("coremltools", "8.3.0"), ("onnx", "2.0.0")],
)
def test_a_version_out_of_range_is_named_with_the_range_and_the_command(
    package: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, package, number)
    (sentence,) = out_of_range()
    assert sentence.startswith(f"{package} {number} is outside ")
    assert "<" in sentence
    assert sentence.endswith(EXACT)


def test_torch_2_13_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "torch", "2.13.0")
    assert "XNNPACK" in out_of_range()[0]


def test_a_project_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROJECT", "no-such-project")
    (sentence,) = out_of_range()
    assert "no-such-project is not installed as a package" in sentence


def test_what_the_doctor_itself_imports_is_declared() -> None:
    """`packaging` comes with pytest and onnxruntime, but not with the base install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(line.startswith("packaging") for line in project["dependencies"])


# --- the command ------------------------------------------------------------------------------


def test_the_command_exits_0_when_all_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in FORMATS)


def test_the_command_exits_2_and_shows_the_whole_command_when_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hide(monkeypatch, "coremltools")
    monkeypatch.setenv("COLUMNS", "240")
    assert main(["doctor"]) == 2
    assert "python -m pip install -c constraints.txt -e '.[coreml]'" in capsys.readouterr().out


def test_the_command_exits_2_when_a_version_is_out_of_range(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, "torch", "2.13.0")
    monkeypatch.setenv("COLUMNS", "300")
    assert main(["doctor"]) == 2
    assert "torch 2.13.0 is outside" in capsys.readouterr().out


def test_a_conversion_that_fails_when_tested_is_reported_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*arguments: object, jobs: int) -> list[Conversion]:
        return iter([Conversion("onnx", "fp32", Path("x"), 0.1, error="TypeError: no (see x.log)")])

    monkeypatch.setattr("export.run.convert.convert_all", failing)
    found = examine(try_it=True)[0]
    assert (found.convert, found.run, found.fix) == ("no: TypeError: no", "no", EXACT)


@pytest.mark.ci("converts with every converter once more")
def test_trying_converts_and_runs_every_format() -> None:
    for finding in examine(try_it=True):
        assert (finding.convert, finding.fix) == ("yes, tried", "")
        no_mac = finding.format == "coreml" and not CORE_ML_RUNS
        assert finding.run == ("no: Core ML runs on macOS only" if no_mac else "yes, tried")
