from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score, roc_auc_score

from pipeline.metrics.bootstrap import mean_interval
from pipeline.metrics.classification import (
    accuracy,
    auroc,
    decide,
    evaluate,
    expected_calibration_error,
    recall,
    recall_threshold,
    reliability,
    youden_threshold,
)


def answers(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities that know a little of it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=images)
    logits = rng.normal(size=(images, classes)) + 1.0 * np.eye(classes)[truth]
    exp = np.exp(logits)
    return truth, exp / exp.sum(axis=1, keepdims=True)


def two_columns(scores: Sequence[float]) -> np.ndarray:
    """Scores of class 1 as (N, 2)."""
    return np.column_stack([1 - np.asarray(scores), scores])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("positive", [0, 1])
def test_auroc_is_sklearns_with_ties(seed, positive):
    truth, probs = answers(80, 2, seed)
    tied = np.round(probs, 1)
    assert len(np.unique(tied[:, positive])) < 12
    expected = roc_auc_score(truth == positive, tied[:, positive])
    assert auroc(truth, tied, positive) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_auroc_of_three_classes_is_the_mean_of_one_against_the_rest(seed):
    truth, probs = answers(90, 3, seed)
    expected = roc_auc_score(truth, probs, multi_class="ovr", average="macro")
    assert auroc(truth, probs) == pytest.approx(expected, abs=1e-12)


def test_auroc_by_hand():
    # Pairs (positive, negative): .9 beats all three, .5 beats one, ties one, loses one.
    probs = two_columns([0.9, 0.5, 0.1, 0.5, 0.6])
    assert auroc(np.array([1, 1, 0, 0, 0]), probs, 1) == pytest.approx((3 + 1.5) / 6)


def test_auroc_without_both_sides_is_not_a_number():
    assert np.isnan(auroc(np.array([1, 1]), two_columns([0.1, 0.9]), 1))


def test_accuracy_and_recall_are_sklearns():
    truth, probs = answers(70, 3)
    decision = decide(probs, None, None)
    assert accuracy(truth, decision) == pytest.approx(accuracy_score(truth, decision))
    assert recall(truth, decision) == pytest.approx(balanced_accuracy_score(truth, decision))
    for c in range(3):
        expected = recall_score(truth, decision, labels=[c], average="macro")
        assert recall(truth, decision, c) == pytest.approx(expected)


def test_recall_of_a_class_that_is_not_there_is_not_a_number():
    assert np.isnan(recall(np.array([0, 0]), np.array([0, 1]), 1))


def test_without_a_threshold_the_most_probable_class_is_decided_and_the_first_on_a_tie():
    probs = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    assert decide(probs, None, None).tolist() == [1, 0]
    assert decide(two_columns([0.5, 0.51]), 1, None).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_with_a_threshold_the_positive_class_is_decided_from_it_on(dtype):
    scores = np.array([0.29, 0.3, 0.31, 0.9])
    as_one = np.column_stack([1 - scores, scores]).astype(dtype)
    as_zero = np.ascontiguousarray(as_one[:, ::-1])
    assert decide(as_one, 1, 0.3).tolist() == [0, 1, 1, 1]
    assert decide(as_zero, 0, 0.3).tolist() == [1, 0, 0, 0]
    assert decide(as_zero, 0, 0.3).dtype == np.int64


def test_the_calibration_error_by_hand():
    # Class 1 is right at .95, .92 (bin 10: share 1/2, mean .935) and wrong, right at .65, .61
    # (bin 7: share 1/2, mean .63); one image of class 0 at .85 is right (bin 9: share 1).
    probs = np.vstack([two_columns([0.95, 0.92, 0.65, 0.61]), [[0.85, 0.15]]])
    truth = np.array([1, 0, 0, 1, 0])
    by_hand = (2 * (0.935 - 0.5) + 2 * (0.63 - 0.5) + 1 * (1 - 0.85)) / 5
    assert expected_calibration_error(truth, probs) == pytest.approx(by_hand)


def test_the_calibration_error_of_the_positive_class_by_hand():
    # .05 and .08: share 1/2, mean .065. .65: share 0. .95: share 1.
    probs = two_columns([0.05, 0.08, 0.65, 0.95])
    by_hand = (2 * (0.5 - 0.065) + 0.65 + 0.05) / 4
    truth = np.array([1, 0, 0, 1])
    assert expected_calibration_error(truth, probs, 1) == pytest.approx(by_hand)
    swapped = np.ascontiguousarray(probs[:, ::-1])
    assert expected_calibration_error(1 - truth, swapped, 0) == pytest.approx(by_hand)


def test_a_calibration_bin_holds_its_upper_edge_and_not_its_lower_one():
    # .6 is with .55, not with .65: (|.55 + .6 - 1| + |.65 - 1|) / 3.
    probs = two_columns([0.55, 0.6, 0.65])
    assert expected_calibration_error(np.array([1, 0, 1]), probs, 1) == pytest.approx(0.5 / 3)
    ends = two_columns([0.0, 1.0])
    assert expected_calibration_error(np.array([0, 1]), ends, 1) == 0
    assert expected_calibration_error(np.array([1, 0]), ends, 1) == 1


def test_with_one_calibration_bin_the_error_is_the_gap_of_the_means():
    truth, probs = answers(80, 3)
    gap = abs(np.mean(probs.argmax(1) == truth) - probs.max(1).mean())
    assert expected_calibration_error(truth, probs, bins=1) == pytest.approx(gap)
    assert expected_calibration_error(truth, probs) > gap


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_that_match_the_observed_shares_are_calibrated(dtype):
    probs = two_columns([0.75] * 4 + [0.25] * 4).astype(dtype)
    truth = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    assert expected_calibration_error(truth, probs) == pytest.approx(0, abs=1e-7)
    assert expected_calibration_error(truth, probs, 1) == pytest.approx(0, abs=1e-7)
    assert expected_calibration_error(truth, 1 - (1 - probs) / 2) > 0.1


def test_no_images_have_no_calibration_error():
    assert np.isnan(expected_calibration_error(np.array([], int), np.empty((0, 2))))


def test_youdens_threshold_separates_separable_scores_in_the_middle():
    truth = np.array([0, 0, 1, 1])
    probs = two_columns([0.1, 0.2, 0.3, 0.9])
    for positive, threshold in ((1, 0.25), (0, 0.75)):
        assert youden_threshold(truth, probs, positive) == pytest.approx(threshold)
        assert accuracy(truth, decide(probs, positive, threshold)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_beats_youdens(seed):
    truth, probs = answers(60, 2, seed)

    def youden(threshold: float) -> float:
        decision = decide(probs, 1, threshold)
        return recall(truth, decision, 1) + recall(truth, decision, 0) - 1

    best = max(youden(score) for score in probs[:, 1])
    assert youden(youden_threshold(truth, probs, 1)) == pytest.approx(best)
    assert best > 0.1


def test_of_equally_good_thresholds_the_one_that_finds_more_is_taken():
    # From 0.25 on: recall 1, specificity 1/2. From 0.45 on: recall 1/2, specificity 1.
    probs = two_columns([0.2, 0.4, 0.3, 0.5])
    assert youden_threshold(np.array([0, 0, 1, 1]), probs, 1) == pytest.approx(0.25)


def test_scores_without_information_give_one_half():
    assert youden_threshold(np.array([0, 1]), two_columns([0.7, 0.7]), 1) == 0.5


def test_a_threshold_stays_away_from_nought_and_one():
    truth = np.array([0, 1])
    assert youden_threshold(truth, two_columns([1e-6, 2e-6]), 1) == 0.01
    assert youden_threshold(truth, two_columns([1 - 2e-6, 1 - 1e-6]), 1) == 0.99


def test_the_figures_are_those_of_the_decisions_at_the_threshold():
    truth, probs = answers(60, 2)
    figures = evaluate(truth, probs, 1, 0.2, resamples=20)
    decision = decide(probs, 1, 0.2)
    assert set(figures) == {"accuracy", "recall", "specificity", "auroc"}
    assert figures["accuracy"].value == accuracy(truth, decision)
    assert figures["recall"].value == recall(truth, decision, 1)
    assert figures["specificity"].value == recall(truth, decision, 0)
    assert figures["auroc"].value == auroc(truth, probs, 1)
    assert figures["recall"].value != recall(truth, decide(probs, 1, None), 1)


def test_three_classes_have_no_specificity():
    truth, probs = answers(60, 3)
    assert set(evaluate(truth, probs, None, None, resamples=20)) == {"accuracy", "recall", "auroc"}


@pytest.mark.parametrize("classes", [2, 3])
def test_an_interval_holds_its_value(classes):
    truth, probs = answers(60, classes)
    positive = 1 if classes == 2 else None
    for figure in evaluate(truth, probs, positive, None, resamples=200).values():
        assert figure.low < figure.value < figure.high
        assert figure.low >= 0
        assert figure.high <= 1


def test_an_interval_shrinks_with_more_images():
    widths = []
    for images in (40, 640):
        figures = evaluate(*answers(images, 2), 1, None, resamples=200)
        widths.append({name: figure.high - figure.low for name, figure in figures.items()})
    for name, few in widths[0].items():
        assert widths[1][name] < few / 2, name  # sixteen times the images: a quarter of the width


def test_the_interval_of_an_accuracy_is_the_binomial_one():
    images, right = 400, 320
    truth = np.arange(images) % 2
    is_right = np.arange(images) < right
    probs = two_columns(np.where(truth == is_right, 0.9, 0.1))
    figure = evaluate(truth, probs, 1, 0.5)["accuracy"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / images)
    assert figure.low == pytest.approx(0.8 - half, abs=0.006)
    assert figure.high == pytest.approx(0.8 + half, abs=0.006)


def test_copies_of_a_patients_image_do_not_narrow_the_interval():
    truth, probs = answers(40, 2)
    copies = 9
    many_truth, many_probs = np.repeat(truth, copies), np.repeat(probs, copies, axis=0)
    patients = [f"patient-{i}" for i in range(40) for _ in range(copies)]
    single = evaluate(truth, probs, 1, 0.5, resamples=300)
    by_image = evaluate(many_truth, many_probs, 1, 0.5, resamples=300)
    by_patient = evaluate(many_truth, many_probs, 1, 0.5, patients, resamples=300)
    for name in single:
        width = {
            kind: figures[name].high - figures[name].low
            for kind, figures in (("one", single), ("image", by_image), ("patient", by_patient))
        }
        assert width["patient"] > 2 * width["image"], name
        assert width["patient"] == pytest.approx(width["one"], rel=0.3), name
        assert by_patient[name].value == pytest.approx(single[name].value)


def test_the_order_of_the_patients_does_not_matter_for_who_belongs_together():
    truth, probs = answers(30, 2)
    grouped = [f"p{i // 3}" for i in range(30)]
    scattered = np.random.default_rng(0).permutation(30)
    figures = evaluate(truth, probs, 1, 0.5, grouped, resamples=50)
    again = evaluate(
        truth[scattered], probs[scattered], 1, 0.5, [grouped[i] for i in scattered], resamples=50
    )
    for name, figure in figures.items():
        assert again[name].low == pytest.approx(figure.low)
        assert again[name].high == pytest.approx(figure.high)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    truth, probs = answers(60, 2)
    first, again, other = (
        evaluate(truth, probs, 1, 0.5, resamples=50, seed=seed) for seed in (2, 2, 3)
    )
    assert first == again
    assert first != other


def test_the_callers_random_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()
    evaluate(*answers(20, 2), 1, 0.5, resamples=5)
    assert np.random.get_state()[1].tolist() == before


# --- a threshold for recall


def test_the_threshold_for_recall_is_the_highest_that_reaches_it():
    truth = np.array([1, 1, 1, 1, 0, 0])
    scores = np.array([0.9, 0.8, 0.6, 0.2, 0.7, 0.1])
    probs = np.stack([1 - scores, scores], axis=1)
    assert recall_threshold(truth, probs, 1, 0.75) == pytest.approx(0.4)
    assert recall_threshold(truth, probs, 1, 0.5) == pytest.approx(0.75)
    assert recall_threshold(truth, probs, 1, 1.0) == pytest.approx(0.15)


def test_a_recall_that_the_lowest_score_alone_reaches_takes_the_least_threshold():
    probs = np.array([[0.5, 0.5], [0.4, 0.6]])
    assert recall_threshold(np.array([1, 0]), probs, 1, 1.0) == 0.01


def test_the_interval_of_a_mean_of_rights_and_wrongs_is_the_binomial_one():
    figure = mean_interval(np.arange(400) < 320)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert figure.value == pytest.approx(0.8)
    assert figure.low == pytest.approx(0.8 - half, abs=0.006)
    assert figure.high == pytest.approx(0.8 + half, abs=0.006)


def test_the_mean_of_nothing_known_is_not_a_number():
    assert np.isnan(mean_interval(np.array([np.nan, np.nan])).value)
    assert mean_interval(np.array([np.nan, 3.0])).value == 3


def test_the_reliability_bins_by_hand_and_their_gaps_are_the_calibration_error():
    truth = np.array([0, 0, 1, 1, 0])
    probs = np.array([[0.95, 0.05], [0.91, 0.09], [0.7, 0.3], [0.35, 0.65], [0.62, 0.38]])
    first, second = (b for b in reliability(truth, probs) if b.images != 1)
    assert (first.low, first.high, first.images) == (0.6, 0.7, 3)
    assert first.mean_prob == pytest.approx((0.7 + 0.65 + 0.62) / 3)
    assert first.share == pytest.approx(2 / 3)
    assert (second.images, second.share) == (2, 1)
    found = reliability(truth, probs)
    gaps = sum(b.images * abs(b.share - b.mean_prob) for b in found) / len(truth)
    assert gaps == pytest.approx(expected_calibration_error(truth, probs))
    assert reliability(truth[:0], probs[:0]) == []


def test_reliability_of_a_class_counts_its_images():
    truth, probs = np.array([1, 0, 1]), np.array([[0.8, 0.2], [0.8, 0.2], [0.1, 0.9]])
    assert [(b.images, b.share) for b in reliability(truth, probs, 1)] == [(2, 0.5), (1, 1.0)]
