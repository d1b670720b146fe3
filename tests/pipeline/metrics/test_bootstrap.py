"""A figure of a draw is the figure of the images that it has, as often as it has them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics import bootstrap, classification
from pipeline.metrics.bootstrap import draw


def answers(images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities, some of them equal."""
    rng = np.random.default_rng(0)
    truth = rng.integers(classes, size=images)
    probs = rng.integers(1, 6, size=(images, classes)) + 2.0 * np.eye(classes)[truth]
    return truth, probs / probs.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("classes", "positive"), [(2, 1), (2, 0), (2, None), (5, None)])
@pytest.mark.parametrize("at_once", [1, 1 << 22])
def test_each_draw_has_the_figures_of_its_images(
    classes: int, positive: int | None, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "AT_ONCE", at_once)
    truth, probs = answers(23, classes)
    decision = classification.decide(probs, positive, None)
    times = draw(23, resamples=9)
    times[0] = truth == 0  # lacks a side
    found = (
        bootstrap.accuracies(truth, decision, times),
        bootstrap.recalls(truth, decision, positive, times),
        bootstrap.aurocs(truth, probs, positive, times),
    )
    for i, counts in enumerate(times):
        rows = np.repeat(np.arange(23), counts)
        t, p, d = truth[rows], probs[rows], decision[rows]
        expected = (
            classification.accuracy(t, d),
            classification.recall(t, d, positive),
            classification.auroc(t, p, positive),
        )
        np.testing.assert_allclose([figure[i] for figure in found], expected, atol=1e-12)


def test_a_draw_takes_as_many_images_and_groups_whole() -> None:
    assert set(draw(40, resamples=7).sum(axis=1)) == {40}
    groups = [f"patient {i // 4}" for i in range(20)]
    times = draw(20, groups, resamples=7)
    assert set(times.sum(axis=1)) == {20}
    assert np.array_equal(times, np.repeat(times[:, ::4], 4, axis=1))
    assert np.array_equal(draw(20, groups, resamples=7, seed=2), times)
    assert not np.array_equal(draw(20, groups, resamples=7, seed=3), times)


def test_what_a_draw_does_not_define_is_left_out_of_the_interval() -> None:
    truth, probs = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    areas = bootstrap.aurocs(truth, probs, 1, np.array([[1, 1, 1], [1, 2, 0], [0, 0, 3]]))
    assert areas[0] == 1
    assert np.isnan(areas[1:]).all()
    assert bootstrap.interval(1.0, areas) == bootstrap.Interval(1.0, 1.0, 1.0)
    nothing = bootstrap.interval(1.0, areas[1:])
    assert np.isnan([nothing.low, nothing.high]).all()
