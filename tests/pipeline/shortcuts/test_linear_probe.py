from __future__ import annotations

import numpy as np
import pytest

from pipeline.shortcuts.linear_probe import LEAST_IMAGES, probe


def side(counts: dict[str, int], shift: float, seed: int) -> tuple[np.ndarray, list[str]]:
    """Features (N, 8) of each class, `shift` apart in one of them, and the classes."""
    rng = np.random.default_rng(seed)
    classes = [name for name, count in counts.items() for _ in range(count)]
    features = rng.normal(size=(len(classes), 8)).astype(np.float32)
    features[:, 3] += [shift * sorted(counts).index(name) for name in classes]
    return features, classes


def patients(classes: list[str]) -> list[str]:
    return [f"p{i}" for i in range(len(classes))]


def test_what_the_features_hold_is_found():
    valid = side({"a": 40, "b": 60}, 4.0, seed=1)
    found = probe(
        "source", "all images", side({"a": 60, "b": 60}, 4.0, 0), valid, patients(valid[1])
    )
    assert found.auroc
    assert found.auroc.value > 0.95
    assert found.auroc.low > 0.9
    assert (found.classes, found.train_images, found.valid_images) == (("a", "b"), 120, 100)


def test_what_the_features_do_not_hold_is_not_found():
    valid = side({"a": 40, "b": 60}, 0.0, seed=1)
    found = probe(
        "source", "all images", side({"a": 60, "b": 60}, 0.0, 0), valid, patients(valid[1])
    )
    assert found.auroc
    assert found.auroc.low < 0.5 < found.auroc.high


def test_three_sources_are_distinguished_and_a_rare_fourth_is_left_out():
    counts = {"a": 30, "b": 30, "c": 30, "rare": LEAST_IMAGES - 1}
    valid = side({**counts, "only_here": 20}, 4.0, seed=1)
    found = probe("source", "all images", side(counts, 4.0, seed=0), valid, patients(valid[1]))
    assert found.classes == ("a", "b", "c")
    assert (found.train_images, found.valid_images) == (90, 90)
    assert found.auroc
    assert found.auroc.value > 0.8


@pytest.mark.parametrize("where", ["train", "valid"])
def test_a_probe_without_two_classes_on_both_sides_is_not_run_and_says_why(where):
    both = {"a": 20, "b": 20}
    sides = {"train": side(both, 1.0, 0), "valid": side(both, 1.0, 1)}
    sides[where] = side({"a": 20, "b": LEAST_IMAGES - 1}, 1.0, 2)
    found = probe(
        "source", "all images", sides["train"], sides["valid"], patients(sides["valid"][1])
    )
    assert found.auroc is None
    assert found.reason == "fewer than two sources have 5 images or more in train and in valid"


def test_the_interval_of_a_probe_is_drawn_by_patient():
    features, classes = side({"a": 20, "b": 20}, 1.0, seed=1)
    train = side({"a": 60, "b": 60}, 1.0, seed=0)
    many = np.repeat(features, 9, axis=0), [c for c in classes for _ in range(9)]
    whose = [f"p{i}" for i in range(40) for _ in range(9)]
    by_patient = probe("source", "all", train, many, whose).auroc
    by_image = probe("source", "all", train, many, patients(many[1])).auroc
    assert by_patient.value == by_image.value
    assert by_patient.high - by_patient.low > 2 * (by_image.high - by_image.low)


def test_the_scale_of_a_feature_does_not_matter():
    train, valid = side({"a": 60, "b": 60}, 2.0, 0), side({"a": 40, "b": 60}, 2.0, 1)
    scale = np.array([1e-3, 1, 1, 1e-3, 1e3, 1, 1, 1], dtype=np.float32)
    plain = probe("source", "all", train, valid, patients(valid[1])).auroc
    scaled = probe(
        "source",
        "all",
        (train[0] * scale, train[1]),
        (valid[0] * scale, valid[1]),
        patients(valid[1]),
    ).auroc
    assert scaled.value == pytest.approx(plain.value, abs=1e-3)
