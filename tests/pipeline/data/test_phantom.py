from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import phantom
from pipeline.data.phantom import folder as phantom_folder
from pipeline.data.phantom.letters import spell

CLEAR, OPACITIES = phantom.LABELS


def test_the_same_arguments_give_the_same_bytes():
    first, again = phantom.draw(OPACITIES, 7), phantom.draw(OPACITIES, 7)
    assert first.shape == again.shape
    assert first.tobytes() == again.tobytes()


def test_call_order_does_not_matter():
    asked = [(CLEAR, 1), (OPACITIES, 1), (CLEAR, 2)]
    forwards = {one: phantom.draw(*one).tobytes() for one in asked}
    backwards = {one: phantom.draw(*one).tobytes() for one in reversed(asked)}
    assert forwards == backwards


def test_another_number_label_or_seed_gives_another_image():
    asked = [(CLEAR, 1, 2), (CLEAR, 2, 2), (OPACITIES, 1, 2), (CLEAR, 1, 3)]
    assert len({phantom.draw(*one).tobytes() for one in asked}) == len(asked)


def test_images_are_grey_bytes_of_many_sizes():
    images = [phantom.draw(label, number) for label in phantom.LABELS for number in range(1, 11)]
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}
    assert {image.ndim for image in images} == {2}
    assert all(256 <= side <= 340 for image in images for side in image.shape)
    assert len({image.shape for image in images}) > 10


def test_an_unknown_label_is_an_error_that_names_the_labels():
    with pytest.raises(ValueError, match=r"covid19.*synthetic_clear, synthetic_opacities"):
        phantom.draw("covid19", 1)


def test_brightness_alone_does_not_separate_the_labels():
    clear, opacities = (
        np.array([phantom.draw(label, number).mean() for number in range(1, 36)])
        for label in phantom.LABELS
    )
    auroc = np.mean(opacities[:, None] > clear[None, :])
    assert 0.25 < auroc < 0.75


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "not" / "yet" / "there"
    phantom.write_dataset(folder, train=12, valid=7)
    return folder


def test_a_data_set_has_the_numbers_asked_for_in_the_folders_of_its_splits_and_labels(dataset):
    counts = {
        path.relative_to(dataset).as_posix(): len(list(path.glob("*.png")))
        for path in dataset.glob("*/*")
    }
    assert counts == {
        f"train/{CLEAR}": 6,
        f"train/{OPACITIES}": 6,
        f"valid/{CLEAR}": 4,
        f"valid/{OPACITIES}": 3,
    }


def test_a_file_holds_the_image_of_its_number(dataset):
    with Image.open(dataset / "valid" / OPACITIES / "synthetic-0007.png") as image:
        assert np.array_equal(np.asarray(image), phantom.draw(OPACITIES, 7))


def test_train_and_valid_share_no_image(dataset):
    pixels = {"train": set(), "valid": set()}
    for path in dataset.rglob("*.png"):
        with Image.open(path) as image:
            split = path.relative_to(dataset).parts[0]
            pixels[split].add(hashlib.sha256(image.tobytes()).hexdigest())
    assert (len(pixels["train"]), len(pixels["valid"])) == (12, 7)
    assert not pixels["train"] & pixels["valid"]


def test_every_png_says_that_it_is_synthetic(dataset):
    for path in dataset.rglob("*.png"):
        with Image.open(path) as image:
            assert image.info["Description"] == "Synthetic phantom, not a patient"


def test_every_image_bears_the_word_synthetic_in_one_of_its_corners():
    for label in phantom.LABELS:
        for number in range(1, 6):
            film = phantom.draw(label, number)
            height, width = film.shape
            found = []
            for dot_px in (1, 2):
                word = spell("SYNTHETIC", dot_px)
                high, wide = word.shape
                found += [
                    np.array_equal(film[y : y + high, x : x + wide], word)
                    for y in (4, height - 4 - high)
                    for x in (4, width - 4 - wide)
                ]
            assert sum(found) == 1, (label, number)


def test_an_interrupted_data_set_leaves_nothing_behind(tmp_path, monkeypatch):
    whole_draw = phantom.draw

    def draw(label: str, number: int, seed: int = 2):
        if number == 3:
            raise KeyboardInterrupt
        return whole_draw(label, number, seed)

    monkeypatch.setattr(phantom_folder, "draw", draw)
    with pytest.raises(KeyboardInterrupt):
        phantom.write_dataset(tmp_path / "data", train=4, valid=4)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_never_written_to(tmp_path):
    with pytest.raises(FileExistsError, match="already exists"):
        phantom.write_dataset(tmp_path, train=2, valid=2)
    assert list(tmp_path.iterdir()) == []
