from __future__ import annotations

import pytest

from export.deploy.metadata import labels_in, model_metadata, resize_in
from pipeline.resize.notation import resize_by
from tests.conftest import LABELS, make_spec

IDENTITY = "ab" * 32


def test_all_metadata_are_text_in_sorted_order() -> None:
    metadata = model_metadata(make_spec(), IDENTITY)
    assert all(isinstance(value, str) for value in metadata.values())
    assert list(metadata) == sorted(metadata)


def test_a_file_found_alone_explains_itself() -> None:
    metadata = model_metadata(make_spec(), IDENTITY)
    assert metadata["checkpoint_sha256"] == IDENTITY
    assert metadata["version"] == "1.2.3"
    assert metadata["threshold"] == "0.4"
    assert "64 x 64" in metadata["input"]
    assert "Not a medical device" in metadata["intended_use"]


def test_labels_come_back_as_they_went_in() -> None:
    assert labels_in(model_metadata(make_spec(), IDENTITY)) == LABELS
    odd = ('comma, and "quote"', "größer")
    assert labels_in(model_metadata(make_spec(labels=odd, positive=None), IDENTITY)) == odd


def test_missing_or_damaged_labels_are_no_labels() -> None:
    assert labels_in({}) == ()
    assert labels_in({"labels": "[covid19"}) == ()
    assert labels_in({"labels": '"covid19"'}) == ()


def test_more_than_two_classes_have_no_threshold() -> None:
    spec = make_spec(labels=("a", "b", "c"), positive=None, threshold=None)
    assert not {"positive", "threshold"} & model_metadata(spec, IDENTITY).keys()


@pytest.mark.parametrize(
    "method", ["squish", "squish:32", "crop", "pad:zeros", "pad:reflection", "centre:border"]
)
def test_the_resize_comes_back_as_it_went_in(method: str) -> None:
    rule = resize_by(method, (48, 80))
    assert resize_in(model_metadata(make_spec(resize=rule), IDENTITY)) == rule


def test_a_resize_of_another_version_or_none_is_no_resize() -> None:
    said = model_metadata(make_spec(), IDENTITY)["input"]
    assert resize_in({}) is None
    assert resize_in({"input": said.replace("squish", "stretch")}) is None
    assert resize_in({"input": said.replace("bilinear", "bicubic")}) is None
