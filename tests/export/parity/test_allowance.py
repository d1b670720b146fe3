"""What is allowed on each image: the tolerance, and more only where rounding explains it."""

from __future__ import annotations

import numpy as np
import pytest

from export.deploy.outputs import Answers
from export.formats.description import Tolerance
from export.images.parity_images import ParityImages
from export.parity.allowance import AT_A_TIME, MOST, Allowance, allowance, plain_allowance
from export.parity.reference import Reference
from export.parity.rounding_noise import FEW, MANY, RoundingNoise
from tests.conftest import make_spec

TOLERANCE = Tolerance(1e-3, 0.0, "", 1e-2)
N = 20
PROBS = np.tile(np.float32([0.7, 0.3]), (N, 1))
NOTHING = np.zeros(N)


def held(probs: np.ndarray = PROBS) -> Reference:
    names = tuple(f"image-{i}" for i in range(len(probs)))
    pixels = np.zeros((len(probs), 1, 1, 3), np.uint8)
    images = ParityImages(names, ("hard",) * len(probs), pixels, "")
    return Reference(make_spec(), "", None, images, Answers(probs))  # type: ignore[arg-type]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Rows whose noise was measured: 1e-2 of probabilities, 1e-1 of evidence.

    Where equal numbers are rounded alike, or in many draws, it is no larger, and the rows are not
    noted twice.
    """
    rows_of: list[list[int]] = []

    def noise(
        _: Reference, arithmetic: str, rows: list[int], alike: bool, draws: int
    ) -> RoundingNoise:
        assert arithmetic == "fp16"
        if alike or draws > FEW:
            assert rows_of[-1] == list(rows)
        else:
            rows_of.append(list(rows))
        return RoundingNoise(np.full(len(rows), 1e-2), np.full(len(rows), 1e-1))

    monkeypatch.setattr("export.parity.allowance.rounding_noise", noise)
    return rows_of


def found(probs_diff: np.ndarray, evidence_diff: np.ndarray = NOTHING) -> Allowance:
    return allowance(probs_diff, evidence_diff, held(), TOLERANCE, "fp16")


def at(row: int, value: float) -> np.ndarray:
    diff = NOTHING.copy()
    diff[row] = value
    return diff


def test_within_the_tolerance_nothing_is_measured(asked: list[list[int]]) -> None:
    allowed = found(np.full(N, 1e-3), np.full(N, 1e-2))
    assert asked == []
    assert allowed.rounding is None
    assert set(allowed.probs) == {1e-3}
    assert set(allowed.evidence) == {1e-2}


def test_where_rounding_explains_it_more_is_allowed_and_said(asked: list[list[int]]) -> None:
    allowed = found(at(4, 1.9e-2))
    assert asked == [[4]]
    assert allowed.probs[4] == pytest.approx(2e-2)
    assert allowed.evidence[4] == pytest.approx(2e-1)
    assert set(np.delete(allowed.probs, 4)) == {1e-3}
    assert (allowed.rounding.images, allowed.rounding.max_abs_diff) == (1, 1e-2)
    assert allowed.rounding.max_rel_diff == 1e-1


@pytest.mark.parametrize(
    "diffs", [(at(4, 2.1e-2), NOTHING), (NOTHING, at(4, 0.21)), (at(4, 1e-2), at(4, 0.21))]
)
def test_a_difference_beyond_the_noise_is_not_explained(
    diffs: tuple[np.ndarray, np.ndarray], asked: list[list[int]]
) -> None:
    allowed = found(*diffs)
    assert asked == [[4]]
    assert allowed.rounding is None
    explained = (diffs[0] <= allowed.probs) & (diffs[1] <= allowed.evidence)
    assert not explained[4]


def test_the_worst_images_are_measured_first_and_one_that_is_not_explained_ends_it(
    asked: list[list[int]],
) -> None:
    diff = np.linspace(1.1e-3, 1.9e-2, N)
    found(diff)
    assert [row for rows in asked for row in rows] == list(range(N - 1, -1, -1))
    assert max(map(len, asked)) == AT_A_TIME
    asked.clear()
    found(diff + at(3, 0.1))
    assert asked[0][0] == 3
    assert len(asked) == 1


def test_a_code_that_goes_the_other_way_everywhere_explains_no_more_than_it_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Place by place it would cancel out; in full it is 0.4, and nothing is 0.5."""

    def noise(_: Reference, __: str, rows: list[int], alike: bool, ___: int) -> RoundingNoise:
        return RoundingNoise(np.zeros(len(rows)), np.full(len(rows), 0.4 if alike else 1e-3))

    monkeypatch.setattr("export.parity.allowance.rounding_noise", noise)
    explained = found(NOTHING, at(4, 0.401))
    assert explained.evidence[4] >= 0.401
    assert explained.rounding.max_rel_diff == 0.4
    wrong = found(NOTHING, at(4, 0.5))
    assert wrong.evidence[4] < 0.5
    assert wrong.rounding is None


def test_where_a_few_draws_do_not_explain_it_many_are_made_and_count_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def noise(_: Reference, __: str, rows: list[int], alike: bool, draws: int) -> RoundingNoise:
        moved = 5e-2 if draws == MANY and not alike else 2e-2
        return RoundingNoise(np.full(len(rows), moved), np.zeros(len(rows)))

    monkeypatch.setattr("export.parity.allowance.rounding_noise", noise)
    assert found(at(4, 5.2e-2)).rounding.max_abs_diff == 5e-2
    assert found(at(4, 6e-2)).rounding is None


@pytest.mark.parametrize("value", [np.inf, np.nan, MOST[0] + 1e-6])
def test_what_no_rounding_does_is_not_even_measured(value: float, asked: list[list[int]]) -> None:
    assert found(at(4, value)).rounding is None
    assert asked == []


def test_no_noise_allows_more_than_a_wrong_operation_stays_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "export.parity.allowance.rounding_noise",
        lambda _, __, rows, *___: RoundingNoise(*np.full((2, len(rows)), np.inf)),
    )
    allowed = found(at(4, 0.2))
    assert (allowed.probs[4], allowed.evidence[4]) == MOST


# --- many classes ---------------------------------------------------------------------------------


def test_of_two_classes_the_tolerance_is_the_same_for_every_image() -> None:
    probs = np.stack([p := np.linspace(0, 1, N), 1 - p], axis=1).astype(np.float32)
    assert set(plain_allowance(probs, TOLERANCE).probs) == {TOLERANCE.max_abs_diff}


def test_of_120_classes_that_are_all_improbable_it_shrinks_with_them() -> None:
    """0.9 % each: a difference of 1e-3 would be a tenth of every probability."""
    flat = np.full((2, 120), 1 / 120, dtype=np.float32)
    flat[1] = 0.3 / 119
    flat[1, 7] = 0.7
    allowed = plain_allowance(flat, TOLERANCE)
    assert allowed.probs[0] == pytest.approx(TOLERANCE.max_abs_diff / 60, rel=1e-3)
    assert allowed.probs[1] == TOLERANCE.max_abs_diff
