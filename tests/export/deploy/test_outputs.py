from __future__ import annotations

import numpy as np
import pytest

from export.deploy.outputs import Answers, answers_in_parts, evidence_diff, gathered, named
from pipeline.image_files import array_file

PROBS = np.array([[0.25, 0.75]], np.float32)
EVIDENCE = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)


def test_outputs_for_single_images_become_one() -> None:
    answers = gathered([(PROBS, EVIDENCE), (PROBS[:, ::-1], EVIDENCE + 1)])
    assert answers.probs.tolist() == [[0.25, 0.75], [0.75, 0.25]]
    assert answers.evidence is not None
    assert answers.evidence.shape == (2, 2, 2, 3)
    assert answers.evidence[1, 0, 0, 0] == 1


def test_a_network_without_evidence_has_probabilities_alone() -> None:
    answers = gathered([(PROBS,), (PROBS,)])
    assert answers.probs.shape == (2, 2)
    assert answers.evidence is None


def test_outputs_of_different_kinds_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="zip"):
        gathered([(PROBS, EVIDENCE), (PROBS,)])


@pytest.mark.parametrize("with_evidence", [True, False])
def test_many_images_are_answered_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch, with_evidence: bool
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3), dtype=np.uint8)
    seen: list[int] = []

    def run(part: np.ndarray) -> Answers:
        seen.append(len(part))
        evidence = part.transpose(0, 3, 1, 2).astype(np.float32)
        return Answers(evidence.mean((2, 3)), evidence if with_evidence else None)

    whole = run(images)
    monkeypatch.setattr(array_file, "BATCH_BYTES", 3 * images[0].nbytes)
    parts = answers_in_parts(run, images)
    assert seen == [10, 3, 3, 3, 1]
    np.testing.assert_array_equal(parts.probs, whole.probs)
    assert (parts.evidence is not None) == with_evidence
    if parts.evidence is not None:
        np.testing.assert_array_equal(parts.evidence, whole.evidence)
        moved = parts.evidence[:]
        moved[4] += 500
        far = evidence_diff(moved, parts.evidence)
        assert far.shape == (10,)
        assert np.flatnonzero(far).tolist() == [4]


def test_evidence_is_known_by_its_name_and_the_probabilities_by_their_place() -> None:
    assert named(["probs"], [1]) == (1,)
    assert named(["probs", "evidence"], [1, 2]) == (1, 2)
    assert named(["probs", "features", "evidence"], [1, 2, 3]) == (1, 3)
    assert named(["probs", "features"], [1, 2]) == (1,)
    assert named(["evidence", "probs"], [1, 2]) == (1,)  # in the wrong order it is refused


def test_a_difference_is_a_share_of_the_images_own_largest_evidence() -> None:
    reference = np.stack([EVIDENCE[0] * 10, EVIDENCE[0] * -1])  # largest: 110 and 11
    moved = reference.copy()
    moved[0, 1, 0, 2] += 1.1
    moved[1, 0, 1, 1] -= 1.1
    assert evidence_diff(moved, reference) == pytest.approx([0.01, 0.1], rel=1e-5)


def test_where_there_is_next_to_no_evidence_it_is_in_logits() -> None:
    reference = np.full((1, 2, 3, 3), 1e-3, np.float32)
    assert evidence_diff(reference + 0.5, reference) == pytest.approx([0.5])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_infinitely_far(value: float) -> None:
    moved = np.repeat(EVIDENCE, 3, axis=0)
    moved[1, 0, 0, 0] = value
    assert evidence_diff(moved, np.repeat(EVIDENCE, 3, axis=0)).tolist() == [0, np.inf, 0]
    assert evidence_diff(moved, moved)[1] == np.inf
