from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from export.conversion import Conversion, artifact_name, convert_all
from export.formats import FORMATS
from tests.export.conftest import Exported, Model

TWO = {"onnx": ("fp32",), "torchscript": ("fp32",)}

# A stand-in for the package onnxsim, first on the path: the new processes inherit the path.
RAISES = """
import os
print("chatter of Python")
os.write(1, b"chatter of C++\\n")
os.write(2, b"complaint of C++\\n")
def simplify(model, **options):
    raise RuntimeError("cannot simplify this\\nand a second line")
"""
DIES = "import os; os._exit(9)"


@dataclass(frozen=True)
class Run:
    folder: Path
    conversions: dict[str, Conversion]


def run_with(onnxsim: str, model: Model, place: Path, jobs: int) -> Run:
    """Convert two formats, the first with a package of our own in the place of onnxsim."""
    (place / "packages").mkdir()
    (place / "packages" / "onnxsim.py").write_text(onnxsim)
    folder = place / "build"
    folder.mkdir()
    (folder / "tiny_fp32.onnx").write_bytes(b"of an earlier run")
    (folder / "tiny_fp32.ptl").write_bytes(b"of an earlier run")
    (folder / "onnx.log").write_text("log of an earlier run")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place / "packages")
        done = list(convert_all(model.folder, TWO, folder, jobs))
    assert len(done) == len(TWO)
    return Run(folder, {conversion.format: conversion for conversion in done})


@pytest.fixture(scope="module")
def raising(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_with(RAISES, model, tmp_path_factory.mktemp("raising"), jobs=2)


@pytest.fixture(scope="module")
def dying(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_with(DIES, model, tmp_path_factory.mktemp("dying"), jobs=1)


def test_a_converter_that_raises_is_a_failed_conversion_with_its_error(raising: Run) -> None:
    failed = raising.conversions["onnx"]
    log = raising.folder / "onnx.log"
    assert failed.error == f"RuntimeError: cannot simplify this (see {log})"
    assert failed.description is None


def test_the_others_are_converted_when_one_raises(raising: Run) -> None:
    other = raising.conversions["torchscript"]
    assert other.error is None
    assert FORMATS["torchscript"].describe(other.path) == other.description


def test_an_artifact_of_an_earlier_run_does_not_pass_for_this_runs(raising: Run) -> None:
    assert not (raising.folder / "tiny_fp32.onnx").exists()
    assert (raising.folder / "tiny_fp32.ptl").stat().st_size > 1000


def test_the_log_holds_the_converters_chatter_and_the_traceback(raising: Run) -> None:
    log = (raising.folder / "onnx.log").read_text()
    for line in ("chatter of Python", "chatter of C++", "complaint of C++", "Traceback"):
        assert line in log
    assert "earlier run" not in log


@pytest.mark.slow
def test_no_chatter_reaches_the_terminal(
    model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_with(RAISES, model, tmp_path, jobs=2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_process_that_dies_is_a_failed_conversion(dying: Run) -> None:
    assert dying.conversions["onnx"].error.startswith("the converter's process died")


@pytest.mark.slow
def test_the_others_are_converted_when_a_process_dies(dying: Run) -> None:
    assert dying.conversions["torchscript"].error is None


def test_an_artifact_is_named_by_model_precision_and_format() -> None:
    assert artifact_name("squeezenet_cxr", "onnx", "fp32") == "squeezenet_cxr_fp32.onnx"
    assert artifact_name("squeezenet_cxr", "coreml", "fp16") == "squeezenet_cxr_fp16.mlpackage"


def test_every_format_has_its_own_log(exported: Exported) -> None:
    assert {p.stem for p in exported.build.glob("*.log")} == set(FORMATS)
