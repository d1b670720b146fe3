"""What an owner says is checked, and the pictures are stored small and bare."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data import phantom
from pipeline.data.dataset import read_dataset
from pipeline.data.owners_words import OwnersWords, words_of
from pipeline.errors import BadInput
from pipeline.model_spec import INTENDED_USE, Owner


def photo(path: Path, width: int = 1200, height: int = 300) -> Path:
    """A photo on its side, with a place and a camera in its EXIF."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2] = (250, 20, 20)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def test_who_says_nothing_has_neutral_words() -> None:
    said = words_of(OwnersWords(), None)
    assert (said.intended_use, said.owner, said.pictures) == (INTENDED_USE, Owner(), {})


def test_the_drawn_phantoms_have_words_of_their_own_until_others_are_given() -> None:
    said = words_of(OwnersWords(), None, drawn=True)
    assert (said.intended_use, said.owner) == (phantom.INTENDED_USE, phantom.OWNER)
    said = words_of(OwnersWords(looks_for="spots"), None, drawn=True)
    assert (said.owner.looks_for, said.owner.images) == ("spots", phantom.OWNER.images)


def test_an_example_is_stored_upright_small_and_without_metadata(tmp_path: Path) -> None:
    said = words_of(OwnersWords(examples=(photo(tmp_path / "red_left.jpg"),)), None)
    (example,) = said.owner.examples
    assert (example.file, example.caption) == ("examples/1.jpg", "red left")
    with Image.open(io.BytesIO(said.pictures[example.file])) as image:
        assert image.size == (128, 512)
        assert not image.getexif()
        assert np.asarray(image)[20, 64, 0] > 200  # what was left is on top


def test_the_caption_of_a_validation_image_is_its_label(image_folder: Path) -> None:
    dataset = read_dataset(image_folder)
    named = image_folder / "valid" / "covid19" / "covid19-001.jpg"
    (example,) = words_of(OwnersWords(examples=(named,)), dataset).owner.examples
    assert example.caption == "covid19"


def test_a_training_image_is_no_example(image_folder: Path) -> None:
    named = image_folder / "train" / "covid19" / "covid19-001.jpg"
    with pytest.raises(BadInput, match="is a training image"):
        words_of(OwnersWords(examples=(named,)), read_dataset(image_folder))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (OwnersWords(looks_for=" "), "--looks-for says nothing"),
        (OwnersWords(intended_use="a\nb"), "--intended-use: 'a\\nb' holds '\\n'"),
        (OwnersWords(images="x\u202ey"), "--images-are"),
        (OwnersWords(images="\x1b[31mred"), "--images-are"),
        (OwnersWords(examples=(Path("nowhere.png"),)), "nowhere.png"),
        (OwnersWords(looks_for="a" * 201), "looks_for"),
    ],
)
def test_what_no_app_could_show_is_refused(words: OwnersWords, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        words_of(words, None)
    assert said in str(refused.value)


def test_words_of_any_language_are_taken() -> None:
    words = OwnersWords("Nur zum Spielen – 遊び用 👩‍🔬", "Röntgenbilder", "می‌خواهم")
    said = words_of(words, None)
    assert (said.owner.images, said.owner.looks_for) == ("Röntgenbilder", "می‌خواهم")
