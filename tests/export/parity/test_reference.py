"""PyTorch's outputs: computed once per variant, passed to other processes bit for bit."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from export.deploy.outputs import Answers
from export.deploy.variants import VARIANTS
from export.images.golden_images import golden_images
from export.parity.evidence import compare_evidence
from export.parity.reference import References, build_references
from pipeline.checkpoint import open_checkpoint
from pipeline.errors import BadInput
from pipeline.image_files import array_file
from pipeline.program.capture import capture
from pipeline.program.program import Program
from tests.conftest import make_spec, write_images
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
    # int8 and w8 are two readings of one folder, fp32 and fp16 of the checkpoint itself
    assert len({reference.checkpoint_sha256 for reference in made.values()}) == len(VARIANTS) - 2


def test_a_process_captures_the_networks_of_a_checkpoint_once(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[object] = []

    def noted(network: torch.nn.Module, side: tuple[int, int]) -> Program:
        sides.append(side)
        return capture(network, side)

    monkeypatch.setattr("export.parity.reference._captured", {})
    monkeypatch.setattr("export.deploy.expected_program.capture", noted)
    for _ in range(2):
        references = References(model.checkpoint, model.images)
        references.complete(("fp32", "w4", "int8"))
        assert len(sides) == 2  # one network in fp32 and w4, with rounding places in int8


def passed_on(references: References) -> References:
    """As another process gets them."""
    return pickle.loads(pickle.dumps(references))  # noqa: S301 - our own


def test_what_is_passed_on_is_the_same_bit_for_bit_and_not_run_again(
    data: Path, model: Model, answers_counted: list[int]
) -> None:
    made = build_references(model.checkpoint, data, 100, ("fp32", "w3", "int8"))
    run = len(answers_counted)
    loaded = passed_on(made)
    assert loaded.answers.keys() == {"fp32", "w3", "int8"}
    for variant in loaded.answers:
        one, other = made.of(variant), loaded.of(variant)
        assert one.probs.tobytes() == other.probs.tobytes()
        assert one.probs.dtype == other.probs.dtype == np.float32
        maps, others = one.answers.evidence[:], other.answers.evidence[:]
        assert maps.tobytes() == others.tobytes()
        assert maps.shape == others.shape == (len(made.images.names), 2, 3, 3)
        assert others.dtype == np.float32
        assert (one.spec, one.checkpoint_sha256) == (other.spec, other.checkpoint_sha256)
    assert len(answers_counted) == run
    for field in ("names", "groups", "source", "truth", "patients"):
        assert getattr(loaded.images, field) == getattr(made.images, field)
    np.testing.assert_array_equal(loaded.images.pixels, made.images.pixels)


def test_every_file_is_compared_on_pixels_that_were_read_once(data: Path, model: Model) -> None:
    made = build_references(model.checkpoint, data, 100)
    loaded = passed_on(made)
    before = made.images.pixels[0]
    made.images.pixels[0] = 255 - before  # as if somebody else wrote
    np.testing.assert_array_equal(loaded.images.pixels[0], 255 - before)  # it is the same file


def test_the_images_are_run_a_part_at_a_time(
    data: Path, model: Model, answers_counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_references(model.checkpoint, data, 100).of("fp32")
    count = len(whole.images.names)
    assert answers_counted == [count]
    monkeypatch.setattr(array_file, "BATCH_BYTES", 5 * whole.images.pixels[0].nbytes)
    parts = build_references(model.checkpoint, data, 100).of("fp32")
    assert answers_counted[1:] == [5] * (count // 5) + [count % 5] * bool(count % 5)
    np.testing.assert_array_equal(parts.probs, whole.probs)
    np.testing.assert_array_equal(parts.answers.evidence, whole.answers.evidence)


def test_memory_does_not_grow_with_the_number_of_images(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_file, "BATCH_BYTES", 100_000)
    monkeypatch.setattr("export.parity.reference.reference_answers", answers_of_nothing)
    golden_images(model.spec.resize)  # drawn once

    def peak(count: int) -> int:
        data = tmp_path / str(count)
        for split, images in (("train", 1), ("valid", count // 2)):
            for label in model.spec.labels:
                write_images(data / split, label, images)
        tracemalloc.start()
        references = build_references(model.checkpoint, data, 10_000)
        assert len(references.images.truth) == count
        assert compare_evidence(
            references.answers["fp32"], references.answers["fp32"], references.images.names, 0.1
        )
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    few = peak(20)
    assert peak(400) < 1.25 * few  # names grow, and probabilities; 380 images are 5 MB of pixels


def answers_of_nothing(_: object, images: np.ndarray) -> Answers:
    probs = np.full((len(images), 2), 0.5, np.float32)
    return Answers(probs, np.zeros((len(images), 2, 13, 13), np.float32))


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
