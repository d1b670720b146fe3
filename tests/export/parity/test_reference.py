"""PyTorch's outputs: computed once per variant, passed to other processes bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.deploy.outputs import Answers
from export.deploy.variants import VARIANTS
from export.parity.reference import References, build_references, load_references
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput
from tests.conftest import make_spec
from tests.export.conftest import Model, write_sensitive_network


@pytest.fixture
def answers_counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each run of PyTorch."""
    from export.parity.reference import reference_answers

    counts: list[int] = []

    def counted(graph: object, images: np.ndarray) -> Answers:
        counts.append(len(images))
        return reference_answers(graph, images)

    monkeypatch.setattr("export.parity.reference.reference_answers", counted)
    return counts


def test_a_reference_is_run_when_it_is_asked_for_and_once(
    model: Model, answers_counted: list[int]
) -> None:
    references = References(model.checkpoint, model.images)
    assert answers_counted == []
    first = references.of("w4")
    assert references.of("w4") is first
    assert answers_counted == [len(model.images.names)]


def test_each_variant_is_another_reference_on_the_same_images(model: Model) -> None:
    made = {variant: model.references.of(variant) for variant in VARIANTS}
    assert all(reference.images is model.images for reference in made.values())
    answers = {reference.probs.tobytes() for reference in made.values()}
    assert len(answers) == len(VARIANTS)
    # int8 and w8 are two readings of one folder
    assert len({reference.checkpoint_sha256 for reference in made.values()}) == len(VARIANTS) - 1


def test_what_is_saved_is_loaded_bit_for_bit_and_not_run_again(
    data: Path, model: Model, tmp_path: Path, answers_counted: list[int]
) -> None:
    made = build_references(model.checkpoint, data, 100, ("fp32", "w3", "int8"))
    run = len(answers_counted)
    made.save(tmp_path / "references.npz")
    loaded = load_references(tmp_path / "references.npz", model.checkpoint)
    assert loaded.answers.keys() == {"fp32", "w3", "int8"}
    for variant in loaded.answers:
        one, other = made.of(variant), loaded.of(variant)
        assert one.probs.tobytes() == other.probs.tobytes()
        assert one.probs.dtype == other.probs.dtype == np.float32
        assert one.answers.evidence.tobytes() == other.answers.evidence.tobytes()
        shape = (len(made.images.names), 2, 3, 3)
        assert one.answers.evidence.shape == other.answers.evidence.shape == shape
        assert other.answers.evidence.dtype == np.float32
        assert (one.spec, one.checkpoint_sha256) == (other.spec, other.checkpoint_sha256)
    assert len(answers_counted) == run
    for field in ("names", "groups", "source", "truth", "patients"):
        assert getattr(loaded.images, field) == getattr(made.images, field)
    np.testing.assert_array_equal(loaded.images.pixels, made.images.pixels)


def test_a_saved_reference_holds_no_pickle(model: Model, tmp_path: Path) -> None:
    model.references.of("fp32")
    model.references.save(tmp_path / "references.npz")
    with np.load(tmp_path / "references.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored)


def test_the_classes_and_patients_are_those_of_the_validation_images(
    data: Path, model: Model
) -> None:
    images = build_references(model.checkpoint, data, 100).images
    assert images.truth == (0, 0, 0, 1, 1, 1)
    assert images.patients == images.names[:6]
    assert images.groups[:6] == ("validation",) * 6


def test_a_variant_that_is_not_there_is_bad_input(data: Path, tmp_path: Path) -> None:
    plain = write_sensitive_network(tmp_path / "plain", make_spec())
    with pytest.raises(BadInput, match="no checkpoint at"):
        build_references(open_checkpoint(plain), data, 10, ("w4",))
