"""A limit is broken where the interval of a figure excludes it; few images can tell little."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.metrics.bootstrap import Interval
from pipeline.metrics.paired_comparison import Comparison, compare_models
from pipeline.metrics.quality_limits import (
    LIMITS,
    Limits,
    broken_limits,
    images_that_tell,
    undecided_limits,
    way_out,
)

NONE = Interval(0.0, 0.0, 0.0)
PASSES = Comparison(
    images=1000,
    auroc=0.9,
    parent_auroc=0.9,
    auroc_drop=Interval(0.0, -0.001, 0.001),
    recall=0.8,
    parent_recall=0.8,
    recall_drop=NONE,
    label_flips=0,
    flips_at_threshold=0,
    flip_rate=Interval(0.0, 0.0, 0.0037),
    lost=0,
    gained=0,
    mcnemar_p=1.0,
    mean_abs_diff=0.0,
    max_abs_diff=0.0,
)


def flipped(images: int, flips: int, near: int = 0) -> Comparison:
    """As measured: so many flips, `near` of which the parent hardly decided."""
    truth = np.arange(images) % 2
    parent = np.stack([p := np.where(truth == 0, 0.9, 0.1), 1 - p], axis=1)
    parent[:near] = (0.501, 0.499)
    variant = parent.copy()
    variant[:flips] = parent[:flips, ::-1]
    return compare_models(truth, variant, parent, 0, 0.5, resamples=5)


def flips_of(comparison: Comparison) -> Comparison:
    """The same with nothing lost but labels."""
    return replace(
        PASSES,
        images=comparison.images,
        label_flips=comparison.label_flips,
        flips_at_threshold=comparison.flips_at_threshold,
        flip_rate=comparison.flip_rate,
    )


def test_what_loses_nothing_breaks_no_limit_and_leaves_none_open() -> None:
    assert broken_limits(PASSES) == []
    assert undecided_limits(PASSES) == []


BROKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "auroc": (
        {"auroc_drop": Interval(0.0161, 0.006, 0.025)},
        ["AUROC drops by 0.0161 (95 % interval 0.0060 to 0.0250), more than 0.005"],
    ),
    "flips": (
        {"label_flips": 31, "flip_rate": Interval(0.031, 0.0212, 0.0437)},
        ["31 of 1000 labels flip (95 % interval 2.1% to 4.4%), more than 2%"],
    ),
    "recall": (
        {"recall": 0.75, "recall_drop": Interval(0.05, 0.03, 0.07)},
        ["recall drops by 0.0500 (95 % interval 0.0300 to 0.0700), more than 0.025"],
    ),
    "mcnemar": (
        {"lost": 9, "gained": 1, "mcnemar_p": 0.0215},
        ["wrong on 9 images that were right, right on 1 that were wrong: McNemar p 0.021 < 0.05"],
    ),
}


@pytest.mark.parametrize(("changes", "sentences"), BROKEN.values(), ids=BROKEN)
def test_each_limit_that_is_broken_gives_its_own_sentence(
    changes: dict[str, Any], sentences: list[str]
) -> None:
    found = replace(PASSES, **changes)
    assert broken_limits(found) == sentences
    assert undecided_limits(found) == []


def test_all_limits_broken_are_four_sentences_in_their_order() -> None:
    changes = {name: value for fields, _ in BROKEN.values() for name, value in fields.items()}
    sentences = [sentence for _, told in BROKEN.values() for sentence in told]
    assert broken_limits(replace(PASSES, **changes)) == sentences


UNDECIDED: dict[str, dict[str, Any]] = {
    "auroc": {"auroc_drop": Interval(0.0161, 0.004, 0.025)},
    "auroc, not even lost": {"auroc_drop": Interval(-0.001, -0.01, 0.01)},
    "flips": {"label_flips": 25, "flip_rate": Interval(0.025, 0.0162, 0.0367)},
    "recall": {"recall": 0.77, "recall_drop": Interval(0.03, 0.01, 0.05)},
}


@pytest.mark.parametrize("changes", UNDECIDED.values(), ids=UNDECIDED)
def test_a_limit_within_the_interval_is_undecided_and_rejects_nothing(
    changes: dict[str, Any],
) -> None:
    found = replace(PASSES, **changes)
    assert broken_limits(found) == []
    assert len(undecided_limits(found)) == 1


WITHIN: dict[str, dict[str, Any]] = {
    "auroc": {"auroc_drop": Interval(0.004, 0.003, LIMITS.auroc_drop)},
    "auroc, in floats": {"auroc_drop": Interval(0.005, 0.95 - 0.945, 0.95 - 0.945)},
    "flips": {"label_flips": 5, "flip_rate": Interval(0.005, 0.0016, 0.0116)},
    "recall, one of 40": {"recall_drop": Interval(1 - 39 / 40, 1 - 39 / 40, 1 - 39 / 40)},
    "mcnemar": {"lost": 9, "gained": 4, "mcnemar_p": 0.05},
    "better auroc": {"auroc_drop": Interval(-0.2, -0.3, -0.1)},
    "better recall": {"recall": 1.0, "recall_drop": Interval(-0.2, -0.3, -0.1)},
    "better decisions": {"lost": 1, "gained": 9, "mcnemar_p": 0.0215},
}


@pytest.mark.parametrize("changes", WITHIN.values(), ids=WITHIN)
def test_what_is_within_a_limit_or_better_breaks_none(changes: dict[str, Any]) -> None:
    found = replace(PASSES, **changes)
    assert broken_limits(found) == []
    assert undecided_limits(found) == []


def test_other_limits_can_be_asked_for() -> None:
    found = replace(PASSES, label_flips=5, flip_rate=Interval(0.005, 0.0016, 0.0116))
    strict = Limits(auroc_drop=0.1, flip_rate=0.001, recall_drop=0.0)
    assert broken_limits(found, strict) == [
        "5 of 1000 labels flip (95 % interval 0.2% to 1.2%), more than 0%"
    ]


# --- how many images there are -----------------------------------------------------------------


@pytest.mark.parametrize(("flips", "verdict"), [(0, "open"), (1, "open"), (3, "open"), (13, "no")])
def test_of_50_images_three_flips_tell_nothing_and_thirteen_reject(
    flips: int, verdict: str
) -> None:
    found = flips_of(flipped(50, flips))
    assert bool(broken_limits(found)) is (verdict == "no")
    assert bool(undecided_limits(found)) is (verdict == "open")


@pytest.mark.parametrize(("images", "flips"), [(300, 12), (3000, 76)])
def test_the_more_images_the_nearer_to_the_limit_a_share_is_rejected(
    images: int, flips: int
) -> None:
    assert broken_limits(flips_of(flipped(images, flips)))
    assert not broken_limits(flips_of(flipped(images, flips - 1)))


def test_as_many_images_as_are_said_tell_without_a_flip() -> None:
    assert images_that_tell() == 183
    assert undecided_limits(flips_of(flipped(183, 0))) == []
    (said,) = undecided_limits(flips_of(flipped(182, 0)))
    assert said == "0 of 182 labels flip (95 % interval 0.0% to 2.0%), for 2%"


def test_flips_that_the_parent_hardly_decided_reject_nothing_and_are_said() -> None:
    found = flips_of(flipped(50, 13, near=13))
    assert broken_limits(found) == []
    (said,) = undecided_limits(found)
    assert said.startswith("0 of 50 labels flip, 13 more at the threshold (95 %")


# --- no numbers ---------------------------------------------------------------------------------


def test_a_model_that_outputs_nan_breaks_the_limit() -> None:
    truth = np.arange(40) % 2
    probs = np.stack([p := np.linspace(0.1, 0.9, 40), 1 - p], axis=1)
    nothing = np.full_like(probs, np.nan)
    found = compare_models(truth, nothing, probs, 1, 0.5, resamples=5)
    assert np.isnan(found.auroc_drop.value)
    assert any(sentence.startswith("AUROC drops by nan") for sentence in broken_limits(found))


def test_a_recall_that_is_nan_breaks_the_limit() -> None:
    nan = float("nan")
    found = replace(PASSES, recall=nan, recall_drop=Interval(nan, nan, nan))
    assert broken_limits(found) == [
        "recall drops by nan (95 % interval nan to nan), more than 0.025"
    ]


def test_what_the_images_do_not_define_is_not_lost() -> None:
    nan = float("nan")
    found = replace(PASSES, auroc=nan, parent_auroc=nan, auroc_drop=Interval(nan, nan, nan))
    assert broken_limits(found) == []


# --- what can be done ---------------------------------------------------------------------------


def test_a_rejection_comes_with_what_would_change_it() -> None:
    said = way_out("int8")
    assert "compress to int8 again with more --epochs" in said
    assert "more validation images" in said
    assert "`export all --accept int8` publishes it as it is" in said
    assert "compress" not in way_out("fp16")
