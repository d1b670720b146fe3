from __future__ import annotations

from math import comb

import numpy as np
import pytest

from pipeline.metrics import classification as metrics
from pipeline.metrics.bootstrap import Interval
from pipeline.metrics.paired_comparison import MARGIN, compare_models
from pipeline.metrics.quality_limits import broken_limits


def answers(images: int, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities that know a little of it, every class present."""
    rng = np.random.default_rng(seed)
    truth = np.arange(images) % classes
    scores = np.exp(rng.normal(size=(images, classes)) + np.eye(classes)[truth])
    return truth, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def noisy(probs: np.ndarray, amount: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scores = np.exp(np.log(probs) + rng.normal(0, amount, probs.shape))
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def two_columns(positives: list[float]) -> np.ndarray:
    return np.column_stack([1 - np.array(positives), positives]).astype(np.float32)


# --- compare


@pytest.mark.parametrize(("classes", "positive", "threshold"), [(2, 1, 0.4), (3, None, None)])
def test_a_model_loses_nothing_against_itself(classes, positive, threshold):
    truth, probs = answers(60, classes)
    found = compare_models(truth, probs, probs.copy(), positive, threshold)
    assert found.images == 60
    assert found.auroc == found.parent_auroc == metrics.auroc(truth, probs, positive)
    assert found.recall == found.parent_recall
    assert found.auroc_drop == Interval(0.0, 0.0, 0.0)
    assert found.recall_drop == Interval(0.0, 0.0, 0.0)
    assert (found.label_flips, found.lost, found.gained, found.mcnemar_p) == (0, 0, 0, 1.0)
    assert (found.flips_at_threshold, found.flip_rate.value) == (0, 0.0)
    assert (found.mean_abs_diff, found.max_abs_diff) == (0.0, 0.0)
    assert broken_limits(found) == []


def test_the_figures_by_hand():
    truth = np.array([1, 1, 1, 0, 0, 0])
    parent = two_columns([0.9, 0.8, 0.3, 0.2, 0.1, 0.6])
    variant = two_columns([0.9, 0.4, 0.3, 0.7, 0.1, 0.35])
    found = compare_models(truth, variant, parent, positive=1, threshold=0.5)
    assert (found.lost, found.gained, found.label_flips) == (2, 1, 3)
    # Of nine pairs: the parent ranks 0.3 below 0.6; the variant ranks 0.4 and 0.3 below 0.7, 0.3
    # below 0.35.
    assert found.parent_auroc == pytest.approx(8 / 9)
    assert found.auroc == pytest.approx(6 / 9)
    assert found.auroc_drop.value == pytest.approx(2 / 9)
    assert (found.parent_recall, found.recall) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert found.max_abs_diff == pytest.approx(0.5)
    assert found.mean_abs_diff == pytest.approx((0.4 + 0.5 + 0.25) / 6)


def test_the_threshold_decides_and_not_the_larger_probability():
    truth = np.array([1, 0])
    parent, variant = two_columns([0.35, 0.1]), two_columns([0.25, 0.1])
    assert compare_models(truth, variant, parent, 1, 0.3, resamples=5).label_flips == 1
    assert compare_models(truth, variant, parent, 1, 0.5, resamples=5).label_flips == 0


def test_the_positive_class_may_be_the_first():
    truth, probs = answers(40)
    variant = noisy(probs, 0.5)
    second = compare_models(truth, variant, probs, 1, 0.4)
    first = compare_models(1 - truth, variant[:, ::-1], probs[:, ::-1], 0, 0.4)
    assert first == second
    assert first.label_flips > 0


@pytest.mark.parametrize(("lost", "gained"), [(5, 0), (7, 1), (9, 3), (2, 8), (4, 4)])
def test_mcnemars_test_is_the_exact_binomial_one(lost, gained):
    parent_right = [True] * lost + [False] * gained + [True] * 4 + [False] * 2
    variant_right = [False] * lost + [True] * gained + [True] * 4 + [False] * 2
    truth = np.arange(len(parent_right)) % 2
    sides = [np.where(np.array(r), truth, 1 - truth) for r in (variant_right, parent_right)]
    variant, parent = (two_columns(list(side.astype(float))) for side in sides)
    found = compare_models(truth, variant, parent, 1, 0.5, resamples=5)
    n, k = lost + gained, max(lost, gained)
    by_hand = min(1.0, 2 * sum(comb(n, i) for i in range(k, n + 1)) / 2**n)
    assert (found.lost, found.gained, found.label_flips) == (lost, gained, n)
    assert found.mcnemar_p == pytest.approx(by_hand, rel=1e-12)


def test_five_lost_and_none_gained_is_p_one_sixteenth():
    truth, wrong = np.array([1] * 5 + [0] * 5), two_columns([0.0] * 5 + [0.0] * 5)
    found = compare_models(truth, wrong, two_columns([1.0] * 5 + [0.0] * 5), 1, 0.5, resamples=5)
    assert found.mcnemar_p == pytest.approx(2 / 2**5)


def test_the_interval_of_the_drop_holds_its_value_and_is_narrow_since_it_is_paired():
    truth, probs = answers(200)
    variant = noisy(probs, 0.1)
    found = compare_models(truth, variant, probs, 1, 0.5)
    drop = found.auroc_drop
    assert drop.low < drop.value < drop.high
    # Drawn separately, the interval would be about as wide as that of either model.
    alone = metrics.evaluate(truth, variant, 1, 0.5)["auroc"]
    assert drop.high - drop.low < 0.3 * (alone.high - alone.low)


def test_the_same_seed_draws_the_same_and_another_does_not():
    truth, probs = answers(50)
    variant = noisy(probs, 0.5)
    first, again, other = (
        compare_models(truth, variant, probs, 1, 0.5, resamples=50, seed=s).auroc_drop
        for s in (3, 3, 4)
    )
    assert first == again
    assert first.value == other.value
    assert (first.low, first.high) != (other.low, other.high)


def test_patients_are_drawn_whole_and_the_same_ones_for_both_models(monkeypatch):
    from pipeline.metrics import paired_comparison

    truth, probs = answers(24)
    variant = noisy(probs, 0.5)
    drawn = []
    fast = paired_comparison.aurocs

    def look(classes: np.ndarray, scores: np.ndarray, positive: int, times: np.ndarray):
        drawn.append(times)
        return fast(classes, scores, positive, times)

    monkeypatch.setattr("pipeline.metrics.paired_comparison.aurocs", look)
    patients = [f"p{i // 4}" for i in range(24)]
    compare_models(truth, variant, probs, 1, 0.5, patients, resamples=20)
    first, second = drawn
    assert np.array_equal(first, second)
    assert first.shape == (20, 24)
    assert np.all(first.sum(axis=1) == 24)
    by_patient = first.reshape(20, 6, 4)
    assert np.all(by_patient == by_patient[:, :, :1])  # all four of a patient, equally often
    assert by_patient.max() > 1


def test_patients_with_many_images_make_the_interval_wider():
    truth, probs = answers(20, seed=5)
    variant = noisy(probs, 0.6)
    many = [np.repeat(a, 10, axis=0) for a in (truth, variant, probs)]
    patients = [f"p{i // 10}" for i in range(200)]
    by_patient = compare_models(*many, 1, 0.5, patients).auroc_drop
    by_image = compare_models(*many, 1, 0.5).auroc_drop
    assert by_patient.value == by_image.value
    assert by_patient.high - by_patient.low > 2 * (by_image.high - by_image.low)


def test_three_classes_are_compared_by_their_means():
    truth, probs = answers(90, 3)
    variant = noisy(probs, 0.8)
    found = compare_models(truth, variant, probs, None, None)
    decision, parent = variant.argmax(1), probs.argmax(1)
    assert found.label_flips == np.sum(decision != parent) > 0
    assert found.recall == metrics.recall(truth, decision)
    assert found.parent_auroc == metrics.auroc(truth, probs)
    # A flip from one wrong class to another is neither lost nor gained.
    assert found.lost + found.gained < found.label_flips
    assert found.mean_abs_diff == pytest.approx(
        np.abs(variant - probs).max(axis=1).mean(), rel=1e-5
    )


# --- how sure it is


def flipping(images: int, flips: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, and probabilities of a model and its parent, who decide `flips` images otherwise."""
    truth = np.arange(images) % 2
    parent = two_columns([0.9 if c else 0.1 for c in truth])
    variant = parent.copy()
    variant[:flips] = parent[:flips, ::-1]
    return truth, variant, parent


@pytest.mark.parametrize(
    ("images", "flips", "low", "high"),
    [
        (50, 0, 0.0, 0.0711),  # 1 - 0.025 ** (1 / 50)
        (50, 1, 0.000506, 0.1065),
        (50, 13, 0.1463, 0.4034),
        (183, 0, 0.0, 0.01996),
    ],
)
def test_the_interval_of_the_flips_is_the_exact_one(images, flips, low, high):
    truth, variant, parent = flipping(images, flips)
    rate = compare_models(truth, variant, parent, 1, 0.5, resamples=5).flip_rate
    assert rate.value == flips / images
    assert (rate.low, rate.high) == (pytest.approx(low, rel=1e-2), pytest.approx(high, rel=1e-2))


@pytest.mark.parametrize(("p", "apart"), [(0.5095, 1), (0.4905, 1), (0.52, 0), (0.48, 0)])
def test_a_flip_of_an_image_that_the_parent_hardly_decided_is_counted_apart(p, apart):
    truth, parent = np.arange(40) % 2, two_columns([0.9, 0.1] * 20)
    parent[0] = (1 - p, p)
    variant = parent.copy()
    variant[0] = parent[0, ::-1]
    found = compare_models(truth, variant, parent, 1, 0.5, resamples=5)
    assert (found.label_flips, found.flips_at_threshold) == (1, apart)
    assert found.flip_rate.value == (1 - apart) / 40


def test_among_many_classes_it_is_the_ratio_of_two_probabilities_that_counts():
    """120 classes of nearly 1/120 each: 0.01 apart is no hair's breadth there."""
    truth = np.arange(4) % 2
    parent = np.full((4, 120), 0.9 / 118, dtype=np.float32)
    parent[:, 0], parent[:, 1] = 0.06, 0.04
    variant = parent.copy()
    variant[:2, :2] = parent[:2, 1::-1]
    parent[1, :2] = variant[1, 1::-1] = (0.0505, 0.0495)
    variant[1, :2] = (0.0495, 0.0505)
    found = compare_models(truth, variant, parent, None, None, resamples=5)
    assert (found.label_flips, found.flips_at_threshold) == (2, 1)
    assert np.log(0.06 / 0.04) / 2 > MARGIN > np.log(0.0505 / 0.0495) / 2


def test_the_interval_of_lost_recall_is_paired_and_of_the_images_drawn():
    truth, probs = answers(200)
    variant = noisy(probs, 1.0)
    found = compare_models(truth, variant, probs, 1, 0.5)
    drop = found.recall_drop
    assert drop.value == pytest.approx(found.parent_recall - found.recall)
    assert drop.low < drop.value < drop.high
