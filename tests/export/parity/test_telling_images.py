"""A few images instead of all: which ones, and that nothing else of the references changes."""

from __future__ import annotations

import numpy as np

from export.parity.telling_images import telling_references, telling_rows
from tests.export.conftest import Model

GROUPS = ("validation", "validation", "golden", "golden", "golden", "hard", "hard")
SPREAD = np.array([0.1, 0.2, 0.9, 0.8, 0.7, 0.0, 0.3], np.float32)


def test_the_groups_take_turns_and_the_largest_spread_comes_first() -> None:
    assert telling_rows(GROUPS, SPREAD, 1) == [1]
    assert telling_rows(GROUPS, SPREAD, 3) == [1, 2, 6]
    assert telling_rows(GROUPS, SPREAD, 5) == [0, 1, 2, 3, 6]
    assert telling_rows(GROUPS, SPREAD, 100) == list(range(7))


def test_a_few_images_keep_their_outputs_and_say_how_many_there_were(
    model: Model,
) -> None:
    few = telling_references(model.references, ["w3"], 4)
    assert few.images.source == f"4 of 13 images, those that tell most, of {model.images.source}"
    rows = [model.images.names.index(name) for name in few.images.names]
    assert rows == sorted(rows)
    for variant in ("fp32", "w3"):
        held, all_of_it = few.of(variant), model.references.of(variant)
        assert held.checkpoint_sha256 == all_of_it.checkpoint_sha256
        np.testing.assert_array_equal(held.images.pixels, model.images.pixels[rows])
        np.testing.assert_array_equal(held.probs, all_of_it.probs[rows])
        np.testing.assert_array_equal(held.answers.evidence, all_of_it.answers.evidence[rows])
    moved = np.abs(model.references.of("w3").probs - model.reference).max(axis=1)
    assert moved[rows].min() >= np.delete(moved, rows).max()


def test_more_images_than_there_are_are_all(model: Model) -> None:
    every = telling_references(model.references, [], 1000)
    assert every.images.source == model.images.source
    assert every.images.names == model.images.names
