from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_curve as sklearn_roc

from pipeline.metrics.classification import auroc
from pipeline.metrics.roc import roc_curve

RNG = np.random.default_rng(3)


def area(curve: np.ndarray) -> float:
    return float(np.trapezoid(curve[:, 1], curve[:, 0]))


def drawn(n: int, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    truth = RNG.integers(0, 2, n)
    score = np.clip(RNG.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    if decimals is not None:
        score = score.round(decimals)
    return truth, np.stack([1 - score, score], axis=1)


def test_the_curve_by_hand() -> None:
    truth = np.array([1, 1, 0, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.1])
    curve = roc_curve(truth, np.stack([1 - scores, scores], axis=1), 1)
    third = 1 / 3
    assert curve == pytest.approx(
        np.array([[0, 0], [0, 2 * third], [third, 2 * third], [third, 1], [1, 1]])
    )


@pytest.mark.parametrize("decimals", [None, 1])
def test_it_is_scikit_learns_curve_and_its_area_is_the_auroc(decimals: int | None) -> None:
    truth, probs = drawn(80, decimals)
    curve = roc_curve(truth, probs, 1)
    fpr, tpr, _ = sklearn_roc(truth, probs[:, 1], drop_intermediate=False)
    assert np.interp(fpr, curve[:, 0], curve[:, 1])[-1] == 1
    assert {tuple(p) for p in curve.round(9)} <= {
        tuple(p) for p in np.stack([fpr, tpr], 1).round(9)
    }
    assert area(curve) == pytest.approx(auroc(truth, probs, 1), abs=1e-12)


def test_of_very_many_points_few_stay_with_nearly_the_same_area() -> None:
    truth, probs = drawn(20_000)
    curve = roc_curve(truth, probs, 1)
    assert len(curve) <= 101
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 1]
    assert (np.diff(curve, axis=0) >= 0).all()
    assert area(curve) == pytest.approx(auroc(truth, probs, 1), abs=2e-3)


def test_without_a_positive_class_it_is_the_mean_of_each_class_against_the_rest() -> None:
    truth = RNG.integers(0, 4, 3000)
    logits = RNG.normal(size=(3000, 4)) + 1.5 * np.eye(4)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    curve = roc_curve(truth, probs)
    assert len(curve) == 101
    assert curve[0].tolist() == [0, 0]
    assert curve[-1] == pytest.approx([1, 1])
    assert (np.diff(curve, axis=0) >= 0).all()
    assert area(curve) == pytest.approx(auroc(truth, probs), abs=2e-3)


def test_a_perfect_classifier_has_the_corner_in_both_forms() -> None:
    truth = np.array([0, 1, 2] * 5)
    probs = np.eye(3)[truth]
    assert area(roc_curve(truth, probs)) == pytest.approx(1)
    assert roc_curve(truth == 1, probs[:, :2], 1).tolist() == [[0, 0], [0, 1], [1, 1]]


def test_equal_scores_are_a_slope() -> None:
    truth, probs = np.array([0, 1, 0, 1]), np.full((4, 2), 0.5)
    assert roc_curve(truth, probs, 1).tolist() == [[0, 0], [1, 1]]


def test_of_one_class_alone_there_is_none() -> None:
    assert roc_curve(np.zeros(3, int), np.full((3, 2), 0.5), 1).shape == (0, 2)
    assert roc_curve(np.zeros(3, int), np.full((3, 2), 0.5)).shape == (0, 2)
