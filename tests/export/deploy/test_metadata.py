from __future__ import annotations

from export.deploy.metadata import labels_in, model_metadata
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
