"""A learner in memory is adopted as its exported file is, and stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models

pytest.importorskip("fastai")
pytest.importorskip("sklearn")

import fastai.callback.progress  # noqa: F401 - gives every Learner its `no_bar`
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.vision.augment import Resize, ResizeMethod
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner

from pipeline.api import adopt
from pipeline.errors import BadInput
from tests.five_colours import COLOURS, paint

pytestmark = pytest.mark.slow("trains with fastai what is adopted")

SIDE = 64


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for split in ("train", "valid"):
        for k, label in enumerate(COLOURS):
            names = [*COLOURS]
            paint(root / split / label, *names[k:], *names[:k])  # each label other images
    return root


@pytest.fixture
def learner(photos: Path, tmp_path: Path) -> Learner:
    """Trained for one epoch, as in a notebook."""
    return trained(photos, tmp_path, ResizeMethod.Squish)


def trained(photos: Path, tmp_path: Path, method: str) -> Learner:
    torch.manual_seed(0)
    item = Resize(SIDE, method=method)
    dls = ImageDataLoaders.from_folder(photos, num_workers=0, item_tfms=item, bs=3)
    made = vision_learner(dls, torchvision.models.squeezenet1_1, pretrained=False, path=tmp_path)
    with made.no_bar(), made.no_logging():
        made.fit(1, 1e-4)
    return made


def test_memory_and_file_give_the_same_checkpoint(
    learner: Learner, photos: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    given = {"name": "colours", "data": photos}
    one = adopt(learner, out=tmp_path / "memory", say=said.append, **given)
    learner.export("learner.pkl")
    file = tmp_path / "learner.pkl"
    other = adopt(file, out=tmp_path / "file", trust_pickle=True, **given)
    assert one.weights_sha256 == other.weights_sha256
    origin = one.spec.training["adopted_from"]
    assert origin == {"what": "fastai learner in memory"}
    of_file = {**other.spec.training, "adopted_from": origin}
    assert one.spec == replace(other.spec, training=of_file)
    assert any("the learner's model and the adopted one" in line for line in said)


def test_the_learner_stays_as_it_is(learner: Learner, photos: Path, tmp_path: Path) -> None:
    (image,) = paint(tmp_path / "one", "été")
    before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    kept = (learner.dls, learner.opt, learner.model, learner.model.training, list(learner.cbs))
    adopt(learner, out=tmp_path / "out", data=photos)
    after = (learner.dls, learner.opt, learner.model, learner.model.training, list(learner.cbs))
    assert all(one is other or one == other for one, other in zip(kept, after, strict=True))
    for name, tensor in learner.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    with learner.no_bar(), learner.no_logging():
        learner.predict(image)
        learner.fit(1, 1e-4)


@pytest.mark.parametrize("method", [ResizeMethod.Crop, ResizeMethod.Squish])
def test_the_checkpoint_answers_as_the_learner_predicts(
    method: str, photos: Path, tmp_path: Path
) -> None:
    from pipeline.api import predict

    learner = trained(photos, tmp_path, method)
    images = paint(tmp_path / "some")
    checkpoint = adopt(learner, out=tmp_path / "out")
    for found in predict(checkpoint, images):
        with learner.no_bar(), learner.no_logging():
            label, _, probs = learner.predict(found.file)
        np.testing.assert_allclose(list(found.probs.values()), probs.numpy(), atol=1e-5)
        assert found.label == label


class Unpicklable(Callback):
    """Holds what no pickle can."""

    def __reduce__(self) -> object:
        raise TypeError("cannot pickle this callback")


def test_a_learner_that_cannot_be_exported_is_refused_and_keeps_its_data(
    learner: Learner, tmp_path: Path
) -> None:
    learner.add_cb(Unpicklable())
    dls, optimiser = learner.dls, learner.opt
    with pytest.raises(BadInput, match="cannot be exported: TypeError: cannot pickle this"):
        adopt(learner, out=tmp_path / "out")
    assert learner.dls is dls
    assert learner.opt is optimiser
    assert not (tmp_path / "out").exists()


def test_a_message_names_the_learner_and_no_file_of_ours(learner: Learner, tmp_path: Path) -> None:
    learner.loss_func = torch.nn.BCEWithLogitsLoss()
    with pytest.raises(BadInput, match=r"^the learner: its loss"):
        adopt(learner, out=tmp_path / "out")


def test_networks_that_disagree_are_refused_with_the_figures(
    learner: Learner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.adopt.equivalence.TOLERANCE", -1.0)
    with pytest.raises(BadInput, match=r"max .Δp. .* does not give the learner's outputs"):
        adopt(learner, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_anything_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs a learner of fastai or its file, not dict"):
        adopt({}, out=tmp_path / "out")
