from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config import TrainConfig
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.data.loaders import build_loaders
from pipeline.images import read_image

CONFIG = TrainConfig(side=32, batch_size=5, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
PLAIN = replace(CONFIG, rotate_deg=0.0, zoom=1.0, lighting=0.0, flip=False)


@pytest.fixture
def dataset(image_folder: Path) -> Dataset:
    return read_dataset(image_folder)


def whole(loader: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> tuple[np.ndarray, np.ndarray]:
    """All images (N, 3, H, W) and classes (N,) of one pass."""
    images, classes = zip(*loader, strict=True)
    return torch.cat(images).numpy(), torch.cat(classes).numpy()


def expected(samples: Iterable, config: TrainConfig) -> np.ndarray:
    pixels = np.stack([read_image(sample.path, config.rule) for sample in samples]) / 255
    return ((pixels - config.mean) / config.std).transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize("resize", ["squish", "crop", "pad", "pad:zeros"])
@pytest.mark.parametrize("side", [32, (32, 48)])
def test_valid_images_come_in_order_by_the_resize_rule_normalised_and_nothing_else(
    dataset, resize, side
):
    config = replace(CONFIG, resize=resize, side=side)
    images, classes = whole(build_loaders(dataset, config).valid)
    assert images.dtype == np.float32
    assert images.shape[2:] == config.rule.size
    assert np.allclose(images, expected(dataset.valid, config), atol=1e-5)
    assert classes.tolist() == [dataset.labels.index(sample.label) for sample in dataset.valid]


def test_without_augmentation_train_images_are_the_same_ones_shuffled(dataset):
    images, classes = whole(build_loaders(dataset, PLAIN).train)
    plain = expected(dataset.train, PLAIN)
    place = [int(np.abs(plain - image).max(axis=(1, 2, 3)).argmin()) for image in images]
    assert np.allclose(images, plain[place], atol=1e-5)
    assert sorted(place) == list(range(len(dataset.train)))  # each once, none left out
    assert place != sorted(place)
    assert classes.tolist() == [dataset.labels.index(dataset.train[i].label) for i in place]


def test_every_pass_over_the_train_images_is_augmented_and_shuffled_again(dataset):
    loaders = build_loaders(dataset, CONFIG)
    plain = expected(dataset.train, CONFIG)
    first, second = whole(loaders.train)[0], whole(loaders.train)[0]
    untouched = [np.abs(plain - image).max(axis=(1, 2, 3)).min() < 1e-5 for image in first]
    assert sum(untouched) < len(untouched) / 2
    assert not np.allclose(first, second, atol=1e-3)


def test_random_crops_have_the_size_of_a_rectangle(dataset):
    images, _ = whole(build_loaders(dataset, replace(PLAIN, side=(32, 48), crop=0.5)).train)
    assert images.shape[1:] == (3, 32, 48)


def test_the_seed_that_was_set_decides_the_order_and_the_augmentation(dataset):
    from fastai.basics import set_seed

    def first_pass(seed: int) -> np.ndarray:
        set_seed(seed, reproducible=True)
        return whole(build_loaders(dataset, CONFIG).train)[0]

    first, again, other = (first_pass(seed) for seed in (2, 2, 3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
