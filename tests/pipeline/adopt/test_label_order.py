"""Labels in another order than the outputs are noticed; a poor model is not taken for that."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.adopt.label_order import QUESTION_OF_DATA, doubted_order


def answers(outputs: list[int], classes: int) -> np.ndarray:
    """Probabilities whose largest is the output given."""
    probs = np.full((len(outputs), classes), 0.1 / classes, np.float32)
    probs[np.arange(len(outputs)), outputs] = 0.9
    return probs


def test_two_labels_the_wrong_way_round_are_noticed() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1])
    said = doubted_order(["dog", "cat"], truth, answers([1, 1, 1, 0, 0, 0], 2), 0.0)
    assert said == (
        "accuracy 0.000, AUROC 0.000; with the labels in the order cat,dog accuracy would be "
        "1.000. Are --labels in the order of the outputs?"
    )
    assert doubted_order(["cat", "dog"], truth, answers([0, 0, 0, 1, 1, 1], 2), 1.0) == ""


def test_of_many_labels_the_order_that_fits_is_named() -> None:
    truth = np.repeat(np.arange(4), 5)
    outputs = [(2, 0, 3, 1)[label] for label in truth]
    said = doubted_order(["a", "b", "c", "d"], truth, answers(outputs, 4), 0.4)
    assert "in the order b,d,a,c accuracy would be 1.000" in said


def test_two_of_many_labels_exchanged_are_not_enough() -> None:
    truth = np.repeat(np.arange(10), 5)
    outputs = [{0: 1, 1: 0}.get(label, label) for label in truth]
    assert doubted_order([*"abcdefghij"], truth, answers(outputs, 10), 0.9) == ""


@pytest.mark.parametrize("seed", range(5))
def test_a_network_that_knows_nothing_is_not_doubted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(60), 2)
    outputs = rng.integers(0, 60, 120).tolist()
    assert doubted_order([f"{i}" for i in range(60)], truth, answers(outputs, 60), 0.5) == ""


def test_auroc_far_below_chance_is_noticed_where_one_label_is_always_given() -> None:
    truth = np.array([0, 0, 1, 1])
    said = doubted_order(["a", "b"], truth, answers([0, 0, 0, 0], 2), 0.1)
    assert said.startswith("AUROC 0.100 is far below chance")
    assert said.endswith("Are --labels in the order of the outputs?")
    assert doubted_order(["a", "b"], truth, answers([0, 0, 0, 0], 2), 0.4) == ""


@pytest.mark.parametrize("outputs", [[0, 0, 0, 0], [1, 1, 0, 0]])
def test_of_a_learner_whose_order_is_known_the_data_are_asked_about(outputs: list[int]) -> None:
    truth = np.array([0, 0, 1, 1])
    said = doubted_order(["a", "b"], truth, answers(outputs, 2), 0.1, QUESTION_OF_DATA)
    assert said.endswith("Are the images of --data under their own labels?")
    assert "--labels" not in said
