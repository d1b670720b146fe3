from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from export.cli.main import main
from export.formats.register import FORMATS
from export.parity.check import ParityResult
from export.parity.outcome import Conversion
from export.run.architecture_trial import try_architecture
from pipeline.errors import BadInput

REASON = "structure: operation thresholded_relu is not known"


@pytest.fixture
def no_converter(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Core ML lacks an operation, ONNX does not convert, the rest passes; what was asked for."""
    asked: dict[str, object] = {}

    def convert_all(
        checkpoint: object, wanted: dict[str, tuple[str, ...]], folder: Path, jobs: int,
        references: Future[object],
    ) -> Iterator[Conversion]:  # fmt: skip
        asked.update(checkpoint=checkpoint, references=references.result())
        for name, (precision,) in wanted.items():
            error = "TypeError: no (see onnx.log)" if name == "onnx" else None
            result = ParityResult("fail", REASON) if name == "coreml" else ParityResult("pass")
            yield Conversion(name, precision, folder, 0.1, error=error, parity=result)

    monkeypatch.setattr("export.run.convert.convert_all", convert_all)
    return asked


def test_every_format_is_tried_at_the_least_size_that_the_network_takes(no_converter) -> None:
    trials = {trial.format: trial for trial in try_architecture("shufflenet_v2_x0_5")}
    assert trials.keys() == FORMATS.keys()
    assert trials["coreml"].reason == REASON
    assert trials["onnx"].reason == "conversion failed: TypeError: no"
    assert (trials["torchscript"].status, trials["torchscript"].reason) == ("pass", "")
    spec = no_converter["checkpoint"].spec
    assert (spec.architecture, spec.side) == ("shufflenet_v2_x0_5", 64)
    names = [layer.name for layer in no_converter["references"].of("fp32").layers]
    assert any("stage2" in name for name in names)


@pytest.mark.usefixtures("no_converter")
def test_the_command_names_what_is_missing_and_is_exit_1(capsys) -> None:
    assert main(["doctor", "--architecture", "shufflenet_v2_x0_5"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shufflenet_v2_x0_5: a map of evidence"
    assert lines[1].startswith("compress: ")
    assert f"coreml fp32: NO: {REASON}" in lines
    assert "torchscript fp32: yes" in lines


def test_an_unknown_architecture_is_refused_before_anything_is_built() -> None:
    with pytest.raises(BadInput, match="unknown architecture 'resnet9000'"):
        next(try_architecture("resnet9000"))


@pytest.mark.ci("converts with every converter once more")
def test_a_resnet_is_served_by_every_format() -> None:
    for trial in try_architecture("resnet18"):
        assert trial.status != "fail", trial
