from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ratio import Ratio, paired_ratio, ratio
from export.latency.measurement import Measurement, Target


def test_what_slows_a_whole_round_cancels_out() -> None:
    assert paired_ratio([2.0, 4.0, 60.0], [1.0, 2.0, 30.0]) == Ratio(2.0, 2.0, 2.0)


def test_rounds_are_paired_and_not_pooled() -> None:
    # The ratio of the medians of all rounds would be 2.0 / 1.6.
    found = paired_ratio([2.0, 2.0, 30.0], [1.0, 1.6, 20.0])
    assert found is not None
    assert found.median == pytest.approx(1.5)


def test_the_spread_is_the_10th_to_the_90th_percentile_of_the_rounds() -> None:
    found = paired_ratio([float(i) for i in range(11)], [1.0] * 11)
    assert found == Ratio(5.0, 1.0, 9.0)


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_ratio([1.0, 2.0], [1.0])


def test_there_is_no_ratio_to_what_was_not_timed() -> None:
    target = Target("onnx", "fp32", Path("x"), 64)
    timed = Measurement(target, 1, rounds_ms=((1.0,),))
    halfway = Measurement(target, 1, "failed", "died", rounds_ms=((1.0,),))
    assert ratio(timed, Measurement(target, 1, "not_run", "elsewhere")) is None
    assert ratio(halfway, timed) is None
    assert paired_ratio([], []) is None
