from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets.drawings import THINGS, photographed
from benchmarks.datasets.register import DATASETS, write_images
from pipeline.data.dataset import read_dataset

SMALL = [name for name in DATASETS if name != "figures5000"]


def test_the_sets_differ_in_size_labels_colour_and_balance() -> None:
    sizes = {n: sum(map(sum, d.images.values())) for n, d in DATASETS.items()}
    assert (min(sizes.values()), max(sizes.values())) == (100, 5000)
    labels = [len(dataset.images) for dataset in DATASETS.values()]
    assert (min(labels), max(labels)) == (2, 120)
    assert {d.about.split(",")[0] for d in DATASETS.values()} == {"grey", "colour"}
    shares = {n: max(map(sum, d.images.values())) / sizes[n] for n, d in DATASETS.items()}
    assert shares["scratches"] == 0.9
    assert len(DATASETS) >= 6


@pytest.mark.ci("draws every data set")
@pytest.mark.parametrize("name", SMALL)
def test_a_set_is_a_folder_that_training_reads_with_its_own_split(
    name: str, tmp_path: Path
) -> None:
    write_images(DATASETS[name], tmp_path / name)
    dataset = read_dataset(tmp_path / name)
    expected = DATASETS[name].images
    assert set(dataset.labels) == set(expected)
    for split, samples in enumerate((dataset.train, dataset.valid)):
        assert Counter(s.label for s in samples) == {k: n[split] for k, n in expected.items()}
    grey = DATASETS[name].about.startswith("grey")
    with Image.open(dataset.train[0].path) as image:
        assert (image.mode == "L") == grey


def test_no_image_comes_twice_and_a_seed_draws_the_same(tmp_path: Path) -> None:
    hashes = []
    for folder in ("once", "again"):
        write_images(DATASETS["photo_tiles"], tmp_path / folder)
        files = sorted((tmp_path / folder).rglob("*.png"))
        hashes.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 100


def test_pictures_of_one_label_vary_and_those_of_two_differ() -> None:
    for name, dataset in DATASETS.items():
        rng = np.random.default_rng(0)
        first, second = (dataset.pictures(rng, label) for label in (0, 1))
        a, b, c = (np.asarray(next(p).convert("RGB"), float) for p in (first, first, second))
        assert a.shape == b.shape == c.shape, name
        assert np.abs(a - b).mean() > 1, name
        assert np.abs(a - c).mean() > 1, name


def test_what_tells_things_in_photographs_apart_is_their_shape_alone() -> None:
    """From the same numbers the same photograph, light and place."""
    pictures = [
        np.asarray(photographed(np.random.default_rng(1), label), float)
        for label in range(len(THINGS))
    ]
    for one, other in combinations(pictures, 2):
        apart = np.abs(one - other).max(axis=2) > 20
        assert 0.02 < apart.mean() < 0.5
