from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.predict.prediction import LabelRule, name_of, prediction_document, prediction_of
from tests.five_colours import FIVE

IMAGE = Path("é.png")


def test_the_most_probable_of_five_labels_is_decided() -> None:
    found = prediction_of(IMAGE, np.array([0.1, 0.1, 0.1, 0.6, 0.1]), LabelRule(FIVE, None, None))
    assert (found.label, found.probability) == ("été", 0.6)
    assert list(found.probs) == list(FIVE)
    assert found.most_probable(1) == [("été", 0.6)]


@pytest.mark.parametrize(("prob", "label"), [(0.39, "no"), (0.4, "yes"), (0.41, "yes")])
def test_a_threshold_decides_before_the_most_probable_label(prob: float, label: str) -> None:
    rule = LabelRule(("yes", "no"), "yes", 0.4)
    assert prediction_of(IMAGE, np.array([prob, 1 - prob]), rule).label == label


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_no_prediction(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        prediction_of(IMAGE, np.array([bad, 0.5]), LabelRule(("a", "b"), None, None))


def test_another_number_of_probabilities_is_no_prediction() -> None:
    with pytest.raises(ValueError, match="for 2 labels"):
        prediction_of(IMAGE, np.array([0.2, 0.3, 0.5]), LabelRule(("a", "b"), None, None))


def test_a_document_names_the_file_so_that_a_program_finds_it(tmp_path: Path) -> None:
    """With a blank of Japanese and a joiner of emoji, which a terminal is shown as escapes."""
    image = tmp_path / "写真\u30001 👩\u200d🔬.png"
    image.touch()
    heat_map = tmp_path / "été\u3000.png"
    probs = np.array([0.25, 0.75])
    found = prediction_of(image, probs, LabelRule(("a", "b"), None, None), heat_map)
    document = prediction_document(found)
    assert Path(document["file"]).is_file()
    assert document["heat_map"] == str(heat_map)


def test_a_name_that_is_no_utf_8_is_escaped() -> None:
    assert name_of(Path(os.fsdecode(b"caf\xe9.png"))) == "caf\\udce9.png"


def test_a_document_has_the_file_the_label_and_every_probability() -> None:
    found = prediction_of(IMAGE, np.array([0.25, 0.75]), LabelRule(("a", "b"), None, None))
    expected = {"file": "é.png", "label": "b", "probs": {"a": 0.25, "b": 0.75}, "heat_map": None}
    assert prediction_document(found) == expected
