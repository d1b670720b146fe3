"""Two versions of every training image, and a loss that asks for one output for both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from pipeline.config import TrainConfig
from pipeline.data.dataset import read_dataset
from pipeline.data.loaders import build_loaders
from pipeline.data.resize_filters import FILTERS, resized_versions
from pipeline.errors import BadInput
from pipeline.images import read_image
from pipeline.resize.rule import Resize
from pipeline.training.consistency import ConsistentLoss
from pipeline.training.learner import fit
from tests.pipeline.small_network import SmallNetwork

CONFIG = TrainConfig(
    side=32, batch_size=6, consistency=5.0, rotate_deg=0.0, zoom=1.0, lighting=0.0, flip=False
)
RULE = CONFIG.rule


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """Much larger than a network's input, and sharp: every filter gives a different result."""
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    path = tmp_path / "sharp.png"
    Image.fromarray(pixels).save(path)
    return path


def test_the_first_version_is_the_resize_rules(photograph):
    versions = resized_versions(photograph, RULE)
    assert versions.shape == (len(FILTERS), 32, 32, 3)
    assert versions.dtype == np.uint8
    assert np.array_equal(versions[0], read_image(photograph, 32))


@pytest.mark.parametrize(
    "rule",
    [RULE, Resize(24, 44, "crop"), Resize(40, 24, "pad", "zeros"), Resize(32, 32, margin=8)],
    ids=str,
)
def test_every_filter_makes_a_version_of_its_own(photograph, rule):
    versions = resized_versions(photograph, rule)
    assert versions.shape == (len(FILTERS), *rule.size, 3)
    assert np.array_equal(versions[0], read_image(photograph, rule))
    assert len({version.tobytes() for version in versions}) == len(FILTERS)


def test_plain_bilinear_is_what_torch_interpolates_without_antialias(photograph):
    version = resized_versions(photograph, RULE)[list(FILTERS).index("plain bilinear")]
    with Image.open(photograph) as image:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    wanted = functional.interpolate(pixels, (32, 32), mode="bilinear", antialias=False)
    difference = version.astype(float) - wanted[0].permute(1, 2, 0).numpy()
    assert np.abs(difference).max() <= 1


def test_a_smooth_picture_is_nearly_the_same_in_every_version(tmp_path):
    rows, columns = np.mgrid[0:150, 0:200]
    grey = (60 + 0.4 * rows + 0.5 * columns).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "smooth.png")
    versions = resized_versions(tmp_path / "smooth.png", RULE).astype(float)
    assert np.abs(versions - versions[0]).max() <= 4


def test_a_training_batch_holds_two_different_versions_of_each_image(image_folder):
    dataset = read_dataset(image_folder)
    known = {
        version.tobytes(): (number, name)
        for number, sample in enumerate(dataset.train)
        for name, version in zip(FILTERS, resized_versions(sample.path, RULE), strict=True)
    }
    std, mean = np.array(CONFIG.std), np.array(CONFIG.mean)
    drawn = set()
    for images, classes in build_loaders(dataset, CONFIG).train:
        assert images.shape == (2 * len(classes), 3, 32, 32)
        pixels = np.rint((images.permute(0, 2, 3, 1).numpy() * std + mean) * 255).astype(np.uint8)
        for first, second, its_class in zip(pixels[0::2], pixels[1::2], classes, strict=True):
            one, other = known[first.tobytes()], known[second.tobytes()]
            assert one[0] == other[0]
            assert one[1] != other[1]
            assert dataset.train[one[0]].label == dataset.labels[its_class]
            drawn |= {one[1], other[1]}
    assert drawn == set(FILTERS)


def test_both_versions_of_an_image_are_augmented_alike(tmp_path):
    """On a smooth image the versions agree, and so must they when both are turned and scaled."""
    rows, columns = np.mgrid[0:96, 0:96]
    for split in ("train", "valid"):
        for label in ("a", "b"):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(6):
                grey = ((i + 2) * 8 + rows + 0.5 * columns).astype(np.uint8)
                Image.fromarray(grey).save(tmp_path / split / label / f"{i}.png")
    config = replace(CONFIG, rotate_deg=30.0, zoom=1.5, lighting=0.4, flip=True)
    images, _ = next(iter(build_loaders(read_dataset(tmp_path), config).train))
    pairs = np.abs((images[0::2] - images[1::2]).numpy()).mean(axis=(1, 2, 3))
    others = np.abs((images[0::2] - images[1::2].flip(0)).numpy()).mean(axis=(1, 2, 3))
    assert pairs.max() < 0.1 < others.max()


def test_validation_images_are_of_the_resize_rule_alone(image_folder):
    dataset = read_dataset(image_folder)
    consistent, plain = (
        next(iter(build_loaders(dataset, config).valid))[0]
        for config in (CONFIG, replace(CONFIG, consistency=0.0))
    )
    assert torch.equal(consistent, plain)


def test_the_loss_is_the_inner_ones_mean_and_the_weighed_distance():
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.5], [0.0, 3.0], [0.0, 3.0]])
    classes = torch.tensor([0, 1])
    inner = torch.nn.CrossEntropyLoss()
    p, q = (logits[i].softmax(0) for i in (0, 1))
    distance = ((p * (p / q).log()).sum() + (q * (q / p).log()).sum()) / 2 / 2  # of two images
    wanted = inner(logits, torch.tensor([0, 0, 1, 1])) + 5 * distance
    assert ConsistentLoss(inner, 5.0)(logits, classes) == pytest.approx(wanted.item(), rel=1e-5)


def test_the_loss_of_one_version_is_the_inner_loss():
    logits, classes = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    inner = torch.nn.CrossEntropyLoss()
    assert ConsistentLoss(inner, 5.0)(logits, classes) == inner(logits, classes)


def test_a_network_trained_for_it_gives_more_similar_outputs_for_the_versions(image_folder):
    dataset = read_dataset(image_folder)

    def disagreement(weight: float) -> float:
        torch.manual_seed(0)
        network = SmallNetwork()
        config = replace(CONFIG, consistency=weight, frozen_epochs=1, finetune_epochs=12, threads=1)
        fit(network, dataset, 0, config)
        versions = np.stack([resized_versions(sample.path, RULE) for sample in dataset.valid])
        pixels = torch.from_numpy(versions).float().permute(0, 1, 4, 2, 3).flatten(0, 1) / 255
        with torch.inference_mode():
            probs = network(pixels).softmax(1)[:, 0].reshape(len(dataset.valid), -1)
        return float((probs - probs[:, :1]).abs().mean())

    assert disagreement(50.0) < disagreement(0.0) / 2


def test_mixup_and_consistency_together_are_refused():
    with pytest.raises(BadInput, match="cannot go together"):
        TrainConfig(consistency=1.0, mixup=0.4)
