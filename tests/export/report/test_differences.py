from __future__ import annotations

import numpy as np
import pytest

from export.images.parity_images import ParityImages
from export.report.differences import (
    MOST_LABELS,
    WORST,
    Answered,
    differences,
    worst_images,
)
from export.report.disagreement import ArtifactAnswer
from pipeline.json_files import plain, to_json


def images(n: int, truth: tuple[int, ...] = ()) -> ParityImages:
    names = tuple(f"i{i}" for i in range(n))
    return ParityImages(names, ("hard",) * n, np.zeros(0, np.uint8), "", truth)


def pair(*diffs: float) -> tuple[np.ndarray, np.ndarray]:
    """Answers and reference, float64 so that the differences are as given."""
    reference = np.zeros((len(diffs), 2))
    return reference + np.array(diffs)[:, None] * [1, -1], reference


def test_images_are_counted_by_powers_of_ten() -> None:
    found = differences(*pair(0, 5e-10, 2e-9, 3e-4, 0.001, 0.5, 1.0))
    assert found is not None
    counts = {(b.low, b.high): b.images for b in found.histogram}
    assert counts[0.0, 1e-9] == 2
    assert counts[1e-9, 1e-8] == 1
    assert counts[1e-4, 1e-3] == 1
    assert counts[1e-3, 1e-2] == 1  # the lower edge belongs to the bin
    assert counts[1e-1, 1.0] == 2
    assert sum(counts.values()) == found.images == 7
    assert found.percentiles.p50 == pytest.approx(3e-4)


def test_the_bins_are_from_the_smallest_to_the_largest_that_is_filled() -> None:
    found = differences(*pair(2e-6, 3e-3))
    assert found is not None
    assert [b.images for b in found.histogram] == [1, 0, 0, 1]


def test_images_that_are_not_finite_are_counted_apart() -> None:
    probs, reference = pair(1e-3, 1e-3, 1e-3)
    probs[1, 0], probs[2, 1] = np.nan, np.inf
    found = differences(probs, reference)
    assert found is not None
    assert (found.images, found.non_finite) == (3, 2)
    assert sum(b.images for b in found.histogram) == 1
    nothing = differences(np.full_like(probs, np.nan), reference)
    assert nothing is not None
    assert nothing.histogram == ()
    assert nothing.percentiles.p99 is None
    to_json(plain(nothing))


def test_another_shape_is_nothing_to_compare() -> None:
    assert differences(np.zeros((2, 2)), np.zeros((2, 3))) is None


def test_the_worst_are_those_that_use_up_most_of_what_is_allowed() -> None:
    loose, reference = pair(1e-3, 0, 0, 2e-3)
    strict, _ = pair(0, 9e-5, 0, 0)
    found = worst_images(
        [Answered("a fp16", "fp32", loose, 5e-3), Answered("a fp32", "fp32", strict, 1e-4)],
        {"fp32": reference},
        images(4, (1, 0)),
        ("x", "y"),
    )
    assert [f.image for f in found] == ["i1", "i3", "i0", "i2"]
    assert [f.artifact for f in found[:2]] == ["a fp32", "a fp16"]
    assert found[0].share_of_allowed == pytest.approx(0.9)
    assert [f.label for f in found] == ["x", None, "y", None]
    assert [a.max_abs_diff for a in found[1].answers] == pytest.approx([2e-3, 0])
    assert found[1].reference == {"fp32": (0, 0)}


def test_each_is_compared_with_its_own_variant() -> None:
    probs, reference = pair(0, 0)
    other = reference + 0.25
    found = worst_images(
        [Answered("a fp32", "fp32", probs, 1), Answered("a w4", "w4", other, 1)],
        {"fp32": reference, "w4": other},
        images(2),
        ("x", "y"),
    )
    assert all(a.max_abs_diff == 0 for f in found for a in f.answers)
    assert found[0].reference["w4"] == (0.25, 0.25)


def test_an_output_that_is_not_finite_is_the_worst_and_null() -> None:
    probs, reference = pair(0.5, 0, 0)
    probs[2] = np.nan
    found = worst_images([Answered("a b", "fp32", probs, 1)], {"fp32": reference}, images(3), "xy")
    assert found[0].image == "i2"
    assert found[0].share_of_allowed is None
    assert found[0].answers[0] == ArtifactAnswer("a b", "fp32", (None, None), None)
    for image in found:
        to_json(plain(image))


def test_few_images_and_few_of_many_labels_are_kept() -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(size=(50, 300))
    probs = reference.copy()
    probs[:, 7] += 0.5
    labels = [str(k) for k in range(300)]
    answered = [Answered("a b", "fp32", probs, 1)]
    found = worst_images(answered, {"fp32": reference}, images(50), labels)
    assert len(found) == WORST
    for image in found:
        assert len(image.labels) == MOST_LABELS
        assert "7" in image.labels
        likeliest = str(int(np.argmax(reference[int(image.image[1:])])))
        assert likeliest in image.labels


def test_nothing_run_nothing_reported() -> None:
    assert worst_images([], {}, images(3), "xy") == []
