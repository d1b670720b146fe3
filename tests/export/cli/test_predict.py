"""``python -m export predict`` as it is typed; tests/export/run has what files answer."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.cli.main import main
from export.deploy.graph import reference_probs
from tests.export.conftest import Artifacts, Model
from tests.five_colours import paint


def test_the_threshold_of_a_file_decides(
    model: Model, artifacts: Artifacts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From its own metadata; the tiny model says covid19 from 0.4 on."""
    file = Path(shutil.copy(artifacts["onnx", "fp32"], tmp_path / "file.onnx"))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, top, (64, 64, 3), dtype=np.uint8) for top in range(20, 256, 20)]
    probs = reference_probs(model.graph, np.stack(images))[:, 0]
    between = [i for i, prob in enumerate(probs) if 0.41 < prob < 0.49]
    assert between, "no image shows the threshold at work"
    Image.fromarray(images[between[0]]).save(tmp_path / "a.png")
    capsys.readouterr()  # what the converter said
    assert main(["predict", str(file), str(tmp_path / "a.png")]) == 0
    head, _, line = capsys.readouterr().out.splitlines()
    assert head == f"tiny 1.2.3: covid19 from 0.4 on. {model.spec.intended_use}"
    assert f"a.png: covid19 (non_covid19 {1 - probs[between[0]]:.3f}" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{file}"], "is asked about no image"),
        (["{file}", "{file}"], "is no image; to ask several files"),
        (["nowhere.onnx", "{image}"], "nowhere.onnx does not exist"),
        (["{image}", "{image}"], "is no exported file (.onnx, .ort, .ptl, .mlpackage)"),
        (["{file}", "nowhere.png"], "nowhere.png does not exist"),
        (["{file}", "{image}", "--top", "0"], "--top 0"),
    ],
)
def test_a_request_that_cannot_be_served_is_exit_2_with_one_line(
    arguments: list[str],
    message: str,
    artifacts: Artifacts,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (image,) = paint(tmp_path, "été")
    places = {"file": artifacts["onnx", "fp32"], "image": image}
    capsys.readouterr()  # what the converter said
    assert main(["predict", *(argument.format(**places) for argument in arguments)]) == 2
    streams = capsys.readouterr()
    assert (streams.out, streams.err.count("\n")) == ("", 1)
    assert message in streams.err
