"""The images of a checkpoint have its labels, in its order."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.sources import checkpoint_images
from pipeline.errors import BadInput
from tests.conftest import LABELS, make_spec


def test_the_classes_are_in_the_checkpoints_order(image_folder: Path) -> None:
    spec = make_spec(labels=LABELS[::-1])
    dataset = checkpoint_images(image_folder, spec)
    assert dataset.labels == spec.labels == LABELS[::-1]
    assert {sample.file.split("/")[1] == sample.label for sample in dataset.train} == {True}


def test_other_labels_are_refused_with_both(image_folder: Path) -> None:
    spec = make_spec(labels=("flu", "well"), positive="flu")
    with pytest.raises(
        BadInput, match=r"have the labels 'covid19', .*the checkpoint 'flu', 'well'"
    ):
        checkpoint_images(image_folder, spec)
