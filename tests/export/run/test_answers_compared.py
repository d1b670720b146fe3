"""Which files must agree with which, and how closely; their answers are made up here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from export.deploy.outputs import Answers
from export.formats.register import FORMATS
from export.run.artifact_facts import ArtifactFacts
from export.run.opened_artifact import OpenArtifact
from export.run.predict import ImageAnswers, Totals, image_answers
from pipeline.predict.prediction import LabelRule
from pipeline.resize.rule import Resize
from tests.five_colours import FIVE, paint

ONE = "ab" * 32
OTHER = "cd" * 32


def artifact(
    format_name: str, precision: str | None, first: float, checkpoint: str = ONE
) -> OpenArtifact:
    """A file that gives the first label `first`, and the last one the rest."""
    probs = np.array([[first, 0, 0, 0, 1 - first]], np.float32)
    rule, size = LabelRule(FIVE, None, None), Resize(64, 64)
    facts = ArtifactFacts(format_name, precision, "colours", "1", checkpoint, "", rule, size)
    return OpenArtifact(Path(f"{format_name}_{precision}"), facts, lambda images: Answers(probs))


def answered(artifacts: Sequence[OpenArtifact], folder: Path) -> ImageAnswers:
    (found,) = image_answers(artifacts, paint(folder, "été"), {})
    return found


def allowed(*files: tuple[str, str]) -> float:
    return sum(FORMATS[name].precisions[p].tolerance.max_abs_diff for name, p in files)


@pytest.mark.parametrize(("share", "faults"), [(0.9, 0), (1.1, 1)])
def test_files_of_one_model_may_be_as_far_apart_as_both_tolerances_together(
    share: float, faults: int, tmp_path: Path
) -> None:
    files = [("onnx", "fp16"), ("coreml", "fp16")]
    apart = share * allowed(*files)
    found = answered([artifact(*files[0], 0.6), artifact(*files[1], 0.6 - apart)], tmp_path)
    assert found.max_abs_diff == pytest.approx(apart, rel=1e-3)
    assert len(found.faults) == faults


def test_weights_alone_in_8_bits_need_not_agree_with_activations_too(tmp_path: Path) -> None:
    """Both come from one compressed checkpoint; Core ML keeps activations in fp16."""
    assert (
        FORMATS["coreml"].precisions["int8"].variant != FORMATS["onnx"].precisions["int8"].variant
    )
    found = answered([artifact("onnx", "int8", 0.9), artifact("coreml", "int8", 0.1)], tmp_path)
    assert (found.faults, found.same_label) == ((), False)
    found = answered([artifact("onnx", "int8", 0.9), artifact("ort", "int8", 0.1)], tmp_path)
    assert len(found.faults) == 1


def test_files_of_other_weights_or_of_an_unknown_precision_need_not_agree(tmp_path: Path) -> None:
    for other in (artifact("ort", "fp32", 0.1, OTHER), artifact("ort", None, 0.1)):
        assert answered([artifact("onnx", "fp32", 0.9), other], tmp_path).faults == ()


def test_an_answer_that_is_no_number_is_a_fault_of_its_file_alone(tmp_path: Path) -> None:
    found = answered(
        [artifact("onnx", "fp32", 0.9), artifact("ort", "fp32", float("nan"))], tmp_path
    )
    assert list(found.answers) == [Path("onnx_fp32")]
    assert found.max_abs_diff is None
    (fault,) = found.faults
    assert fault.startswith("ort_fp32: ")
    assert "not finite" in fault


def test_totals_count_what_all_images_show(tmp_path: Path) -> None:
    totals = Totals()
    files = [artifact("onnx", "fp32", 0.9), artifact("ort", "fp32", 0.1)]
    for found in image_answers(files, paint(tmp_path), {}):
        totals.add(found)
    assert totals.sentence() == (
        "3 of 3 images are decided differently; max |Δp| 8.0e-01; 3 faults"
    )
    alone = Totals()
    alone.add(answered(files[:1], tmp_path))
    assert alone.sentence() == ""
