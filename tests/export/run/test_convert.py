from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from export.formats.base import verbs_of
from export.formats.register import FORMATS
from export.parity.reference import References
from export.run.convert import Conversion, artifact_name, convert_all
from tests.export.conftest import Exported, Model, request_export, run_export

TWO = {"onnx": ("fp32",), "torchscript": ("fp32",)}

# A stand-in for the package onnxsim, first on the path: the new processes inherit the path, and
# have imported nothing.
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
    terminal: str = ""  # what reached stdout and stderr


@contextmanager
def caught_output() -> Iterator[Path]:
    """What this process and its children write to stdout and stderr, in a file."""
    with NamedTemporaryFile("w") as terminal:
        kept = [os.dup(stream) for stream in (1, 2)]
        for stream in (1, 2):
            os.dup2(terminal.fileno(), stream)
        try:
            yield Path(terminal.name)
        finally:
            for stream, was in zip((1, 2), kept, strict=True):
                os.dup2(was, stream)
                os.close(was)


def run_with(onnxsim: str, model: Model, place: Path, jobs: int) -> Run:
    """Convert two formats, the first with a package of our own in the place of onnxsim."""
    (place / "packages").mkdir()
    (place / "packages" / "onnxsim.py").write_text(onnxsim)
    folder = place / "build"
    folder.mkdir()
    (folder / "tiny_fp32.onnx").write_bytes(b"of an earlier run")
    (folder / "tiny_fp32.ptl").write_bytes(b"of an earlier run")
    (folder / "onnx.log").write_text("log of an earlier run")
    with pytest.MonkeyPatch.context() as patch, caught_output() as terminal:
        patch.syspath_prepend(place / "packages")
        patch.setattr("export.run.convert.START", "spawn")
        done = list(convert_all(model.checkpoint, TWO, folder, jobs))
        said = terminal.read_text()
    assert len(done) == len(TWO)
    return Run(folder, {conversion.format: conversion for conversion in done}, said)


@pytest.fixture(scope="module")
def raising(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_with(RAISES, model, tmp_path_factory.mktemp("raising"), jobs=2)


@pytest.fixture(scope="module")
def dying(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_with(DIES, model, tmp_path_factory.mktemp("dying"), jobs=1)


@pytest.mark.slow("converts in processes of their own")
def test_a_converter_that_raises_is_a_failed_conversion_with_its_error(raising: Run) -> None:
    failed = raising.conversions["onnx"]
    log = raising.folder / "onnx.log"
    assert failed.error == f"RuntimeError: cannot simplify this (see {log})"
    assert failed.description is None


@pytest.mark.slow("converts in processes of their own")
def test_the_others_are_converted_when_one_raises(raising: Run) -> None:
    other = raising.conversions["torchscript"]
    assert other.error is None
    assert verbs_of("torchscript").describe(other.path) == other.description


@pytest.mark.slow("converts in processes of their own")
def test_an_artifact_of_an_earlier_run_does_not_pass_for_this_runs(raising: Run) -> None:
    assert not (raising.folder / "tiny_fp32.onnx").exists()
    assert (raising.folder / "tiny_fp32.ptl").stat().st_size > 1000


@pytest.mark.slow("converts in processes of their own")
def test_the_log_holds_the_converters_chatter_and_the_traceback(raising: Run) -> None:
    log = (raising.folder / "onnx.log").read_text()
    for line in ("chatter of Python", "chatter of C++", "complaint of C++", "Traceback"):
        assert line in log
    assert "earlier run" not in log


@pytest.mark.slow("converts in processes of their own")
def test_no_chatter_reaches_the_terminal(raising: Run) -> None:
    assert raising.terminal == ""


@pytest.mark.ci("starts converters once more")
def test_a_process_that_dies_is_a_failed_conversion(dying: Run) -> None:
    assert dying.conversions["onnx"].error.startswith("the converter's process died")


@pytest.mark.ci("starts converters once more")
def test_the_others_are_converted_when_a_process_dies(dying: Run) -> None:
    assert dying.conversions["torchscript"].error is None


# --- families, and the check in their processes ------------------------------------------------

# A stand-in that does nothing, and reports its process.
COUNTS = """
import os
def simplify(model, **options):
    print("simplified in process", os.getpid(), flush=True)
    return model, True
"""
FAMILIES = {"onnx": ("fp32", "w4"), "ort": ("fp32",)}


@pytest.fixture(scope="module")
def checked(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two formats of one family, converted and checked."""
    place = tmp_path_factory.mktemp("checked")
    (place / "packages").mkdir()
    (place / "packages" / "onnxsim.py").write_text(COUNTS)
    for variant in ("fp32", "w4"):
        model.references.of(variant)
    references: Future[References] = Future()
    references.set_result(model.references)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(place / "packages")
        patch.setattr("export.run.convert.START", "spawn")
        done = list(convert_all(model.checkpoint, FAMILIES, place / "build", 2, references))
    return Run(place / "build", {f"{c.format} {c.precision}": c for c in done})


@pytest.mark.ci("starts converters once more")
def test_a_family_shares_one_process_and_what_it_has_simplified(checked: Run) -> None:
    lines = "".join(log.read_text() for log in checked.folder.glob("*.log")).splitlines()
    processes = [line.split()[-1] for line in lines if line.startswith("simplified in process")]
    assert len(processes) == 2  # the fp32 graph, for ONNX and ORT, and the w4 graph
    assert len(set(processes)) == 1


@pytest.mark.ci("starts converters once more")
def test_each_artifact_is_checked_in_the_process_that_made_it(checked: Run, model: Model) -> None:
    assert checked.conversions.keys() == {"onnx fp32", "onnx w4", "ort fp32"}
    for conversion in checked.conversions.values():
        assert conversion.error is None
        assert conversion.parity.status == "pass"
        assert conversion.parity.images == len(model.images.names)
        assert conversion.parity.max_abs_diff <= 1e-4  # to its own variant
        assert conversion.parity.probs.shape == model.reference.shape


@pytest.mark.slow("converts in processes of their own")
def test_without_references_nothing_is_checked(raising: Run) -> None:
    assert {conversion.parity for conversion in raising.conversions.values()} == {None}


def die(*_: object) -> Conversion:
    os._exit(9)


@pytest.mark.slow("converts in processes of their own")
def test_a_process_that_dies_during_the_check_is_a_failure_and_nothing_is_published(
    model: Model, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.run.convert.check_conversion", die)
    few = {"formats": ("torchscript",), "precisions": ("fp32", "w4")}
    request = request_export(model, data, tmp_path / "assets", tmp_path / "build", **few)
    done = run_export(request)
    assert done.code == 1
    assert not done.root.exists()
    assert "0 passed, 2 failed" in done.output
    for precision in ("fp32", "w4"):
        said = f"torchscript {precision}: conversion failed: the process that checked it died (see"
        assert said in done.output


def test_an_artifact_is_named_by_model_precision_and_format() -> None:
    assert artifact_name("squeezenet_cxr", "onnx", "fp32") == "squeezenet_cxr_fp32.onnx"
    assert artifact_name("squeezenet_cxr", "coreml", "fp16") == "squeezenet_cxr_fp16.mlpackage"


def test_every_format_has_its_own_log(exported: Exported) -> None:
    assert {p.stem for p in exported.build.glob("*.log")} == set(FORMATS)
