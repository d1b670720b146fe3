from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from pipeline.metrics import calibration
from pipeline.metrics.calibration import (
    Calibration,
    StatedProbabilities,
    calibrate,
    fit_temperature,
    stated,
    uncalibrated,
)

Answers = tuple[np.ndarray, np.ndarray]


def answers(temperature: float, classes: int = 2, images: int = 4000, seed: int = 0) -> Answers:
    """Logits that are `temperature` times too large for the classes drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, classes)) * 1.5
    truth = np.array([rng.choice(classes, p=p) for p in softmax(logits, axis=1)])
    return (logits * temperature).astype(np.float32), truth


def nearly_all_right(classes: int, images: int, wrong: int, margin: float) -> Answers:
    """Every image decided by the same margin, all but `wrong` of them correctly."""
    truth = np.arange(images) % classes
    decided = truth.copy()
    decided[:wrong] = (truth[:wrong] + 1) % classes
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 0.3, size=(images, classes))
    logits[np.arange(images), decided] += margin
    return logits, truth


# --- the temperature


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found_again(temperature: float, classes: int) -> None:
    logits, truth = answers(temperature, classes)
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_a_network_without_a_mistake_on_few_images_is_not_made_certain(classes: int) -> None:
    logits, truth = nearly_all_right(classes, 80, wrong=0, margin=3)
    temperature = fit_temperature(logits, truth)
    certainty = softmax(logits / temperature, axis=1).max(axis=1).mean()
    assert certainty == pytest.approx(81 / 82, abs=1e-3)  # the rule of succession


def test_a_network_that_is_certain_already_is_not_sharpened() -> None:
    logits, truth = nearly_all_right(3, 30, wrong=0, margin=20)
    assert fit_temperature(logits, truth) == pytest.approx(1.0, abs=1e-3)


def test_a_network_that_is_certain_and_sometimes_wrong_is_flattened() -> None:
    logits, truth = nearly_all_right(3, 30, wrong=6, margin=20)
    assert fit_temperature(logits, truth) > 5


# --- taken only if it does no harm


def test_five_classes_nearly_all_right_are_not_made_unsure() -> None:
    """Ten images a class: smoothed targets gave 0.55 where 0.98 is right, an error of 0.43."""
    logits, truth = nearly_all_right(5, 50, wrong=1, margin=3.5)
    found = calibrate(logits, truth)
    shipped = stated(logits / found.temperature, truth)
    assert found.temperature < 1
    assert shipped.error <= found.before.error
    assert shipped.nll <= found.before.nll
    assert shipped.error <= 0.08


def test_a_network_of_120_classes_that_knows_little_is_not_made_to_know_nothing() -> None:
    """Two images a class: T ran to its bound of 20, every class 0.9 %."""
    logits, truth = answers(0.5, classes=120, images=240)
    found = calibrate(logits, truth)
    assert found.temperature == pytest.approx(0.5, rel=0.2)
    assert found.after.error <= found.before.error


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
@pytest.mark.parametrize(("classes", "images"), [(2, 40), (5, 50), (120, 240)])
def test_neither_likelihood_nor_error_ever_gets_worse(
    classes: int, images: int, temperature: float
) -> None:
    for seed in range(3):
        logits, truth = answers(temperature, classes, images, seed)
        found = calibrate(logits, truth)
        shipped = stated(logits / found.temperature, truth)
        assert shipped.error <= found.before.error
        assert shipped.nll <= found.before.nll + 1e-12
        assert found.after.error <= found.before.error
        assert found.after.nll <= found.before.nll
        assert (found.temperature == 1) == bool(found.refused)


def test_what_was_put_in_is_taken_out() -> None:
    logits, truth = answers(3.0, classes=5, images=500)
    found = calibrate(logits, truth)
    assert found.temperature == pytest.approx(3, rel=0.15)
    assert found.refused == ""
    assert found.before == stated(logits, truth)
    assert found.after.error < 0.5 * found.before.error
    assert found.after.nll < found.before.nll


@pytest.mark.parametrize("worse", [{"nll": 9.0, "error": 0.0}, {"nll": 0.0, "error": 0.9}])
def test_a_temperature_that_unseen_images_do_not_confirm_is_refused(
    worse: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, truth = answers(3.0, classes=5, images=100)
    sure = logits / 3
    real = calibration.stated

    def judge(given: np.ndarray, classes: np.ndarray) -> StatedProbabilities:
        out_of_fold = len(given) == 100 and not np.allclose(given, logits)
        return StatedProbabilities(**worse) if out_of_fold else real(given, classes)

    monkeypatch.setattr(calibration, "_out_of_fold", lambda *_: sure)
    monkeypatch.setattr(calibration, "stated", judge)
    monkeypatch.setattr(calibration, "fit_temperature", lambda *_: 3.0)
    found = calibrate(logits, truth)
    assert found.temperature == 1.0
    assert found.after == found.before
    assert "3.000 would give NLL" in found.refused


@pytest.mark.parametrize("worse", [{"nll": 9.0, "error": 0.0}, {"nll": 0.0, "error": 0.9}])
def test_a_temperature_that_all_images_together_do_not_confirm_is_refused(
    worse: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, truth = answers(3.0, classes=5, images=100)
    own, unseen = StatedProbabilities(1.0, 0.2), StatedProbabilities(0.9, 0.1)
    told = iter([own, unseen, StatedProbabilities(**worse)])
    monkeypatch.setattr(calibration, "_out_of_fold", lambda *_: logits)
    monkeypatch.setattr(calibration, "fit_temperature", lambda *_: 3.0)
    monkeypatch.setattr(calibration, "stated", lambda *_: next(told))
    found = calibrate(logits, truth)
    assert (found.temperature, found.after) == (1.0, own)
    assert found.refused == f"3.000 would give {StatedProbabilities(**worse)}"


def test_the_temperature_is_judged_on_patients_that_it_was_not_fitted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, truth = answers(3.0, images=60)
    seen: list[set[float]] = []

    def note(rest: np.ndarray, _: np.ndarray) -> float:
        seen.append(set(rest[:, 0].tolist()))
        return 3.0

    monkeypatch.setattr(calibration, "fit_temperature", note)
    calibrate(logits, truth, [f"p{i // 6}" for i in range(60)])
    everything, *folds = seen
    assert len(everything) == 60
    assert len(folds) == 10
    for fold in folds:
        left_out = [i for i in range(60) if float(logits[i, 0]) not in fold]
        assert len(left_out) == 6
        assert len({i // 6 for i in left_out}) == 1


def test_one_patient_alone_can_confirm_nothing() -> None:
    logits, truth = answers(3.0, images=20)
    found = calibrate(logits, truth, ["p"] * 20)
    assert (found.temperature, found.refused) == (
        1.0,
        "there are too few images to check another on",
    )


# --- what is said


def test_temperature_and_figures_before_and_after_are_said() -> None:
    found = Calibration(
        0.3157, 150, StatedProbabilities(0.0882, 0.0553), StatedProbabilities(0.0327, 0.0079)
    )
    assert found.sentences() == [
        "temperature 0.316: NLL 0.088, calibration error 0.055 before, NLL 0.033, calibration "
        "error 0.008 after (cross-validated, 150 validation images)"
    ]


def test_a_refused_temperature_is_said_with_the_reason() -> None:
    logits, truth = answers(1.0, images=200)
    found = uncalibrated(logits, truth, refused="nobody asked")
    (said,) = found.sentences()
    assert said == f"temperature 1, logits as they are: nobody asked; {found.before}"


def test_few_images_are_said_in_all_and_by_label() -> None:
    logits, truth = answers(1.0, classes=5, images=50)
    truth = np.arange(50) % 5
    labels = ("a", "b", "c", "d", "e")
    assert uncalibrated(logits, truth, labels).caution == (
        "too few validation images to rely on stated probabilities: 50 images in all "
        "(fewer than 100)"
    )
    rare = np.where(np.arange(4000) < 9, 1, 0)
    assert uncalibrated(*answers(1.0)[:1], rare, ("often", "rare")).caution == (
        "too few validation images to rely on stated probabilities: fewer than 10 of rare"
    )
    many, two_each = answers(1.0, classes=120, images=240)[0], np.arange(240) % 120
    names = [f"class {c:03}" for c in range(120)]
    assert uncalibrated(many, two_each, names).caution.endswith(
        "fewer than 10 of class 000, class 001, class 002 (and 117 more)"
    )


def test_enough_images_of_each_label_need_no_caution() -> None:
    logits, _ = answers(1.0, images=100)
    assert uncalibrated(logits, np.where(np.arange(100) < 10, 0, 1), ("a", "b")).caution == ""
