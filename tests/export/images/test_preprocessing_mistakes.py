from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.images.preprocessing_mistakes import (
    MISTAKES,
    SQUISHED,
    Mistake,
    Preprocessing,
    mistakes_with,
    taken_sideways,
    with_mistakes,
)
from pipeline.data.resize_filters import FILTERS
from pipeline.images import decode, read_image
from pipeline.resize.notation import resize_by
from pipeline.resize.rule import Resize

SIDE = 32
RULE = Resize(SIDE, SIDE)
OTHER_FILTERS = ("plain_bilinear", "nearest", "area", "bicubic", "lanczos")
BY_NAME = {mistake.name: mistake for mistake in MISTAKES}


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    rng = np.random.default_rng(4)
    return Image.fromarray(rng.integers(0, 256, (height, width, channels), dtype=np.uint8))


def make(name: str, image: Image.Image, rule: Resize = RULE) -> np.ndarray:
    return with_mistakes([BY_NAME[name]]).pixels(image, rule)


def right(image: Image.Image, rule: Resize = RULE) -> np.ndarray:
    return Preprocessing().pixels(image, rule)


def test_without_a_mistake_it_is_the_resize_rule(tmp_path: Path) -> None:
    path = tmp_path / "sideways.png"
    noise(90, 50).save(path, exif=taken_sideways(noise(90, 50)).getexif())
    np.testing.assert_array_equal(right(decode(path)), read_image(path, SIDE))


def test_a_photo_taken_sideways_is_read_upright() -> None:
    image = noise(90, 50)
    stored = taken_sideways(image)
    assert stored.size == (50, 90)
    np.testing.assert_array_equal(right(stored), right(image))
    turned = np.rot90(np.asarray(image))
    np.testing.assert_array_equal(make("rotation_ignored", stored), right(Image.fromarray(turned)))


def test_every_mistake_has_a_step_a_source_and_a_name_of_its_own() -> None:
    steps = {field.name for field in fields(Preprocessing)}
    assert len(BY_NAME) == len(MISTAKES)
    for mistake in MISTAKES:
        assert mistake.step in steps
        assert mistake.source.startswith("https://")
        assert mistake.seen_in


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_every_mistake_makes_other_pixels_of_an_image_that_shows_it(mistake: Mistake) -> None:
    if mistake.name == "sixteen_bits_clipped":
        deep = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)
        image = Image.fromarray(deep)
    elif mistake.step == "colours":
        image = noise(60, 40, channels=4)
    else:
        image = taken_sideways(noise(60, 40))
    made = with_mistakes([mistake]).pixels(image, RULE)
    assert made.shape == (SIDE, SIDE, 3)
    assert made.dtype == np.uint8
    assert np.abs(made.astype(int) - right(image)).mean() > 1


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_what_photographs_cannot_show_they_do_not(mistake: Mistake) -> None:
    photo = noise(60, 40)
    same = bool((with_mistakes([mistake]).pixels(photo, RULE) == right(photo)).all())
    # A turn shows only where there is a tag, which the replay gives every photo.
    assert same == (mistake.step == "turn" or not mistake.on_photographs)


def test_plain_bilinear_mixes_the_four_nearest_pixels_however_far_the_image_shrinks() -> None:
    pixels = np.asarray(noise(128, 96)).astype(float)
    made = make("plain_bilinear", noise(128, 96))
    # Output (5, 7): centre at (5.5 * 3 - 0.5, 7.5 * 4 - 0.5) = (16, 29.5).
    expected = (pixels[16, 29] + pixels[16, 30]) / 2
    assert np.abs(made[5, 7] - expected).max() <= 0.5


def test_plain_bilinear_is_the_filter_that_training_makes_networks_indifferent_to() -> None:
    assert BY_NAME["plain_bilinear"].make is FILTERS["plain bilinear"]


def test_area_is_the_mean_of_the_block() -> None:
    pixels = np.asarray(noise(128, 96)).astype(float)
    made = make("area", noise(128, 96))
    expected = pixels[15:18, 28:32].mean(axis=(0, 1))
    assert np.abs(made[5, 7] - expected).max() <= 1  # Pillow rounds between its two passes


def test_nearest_takes_pixels_as_they_are() -> None:
    image = noise(128, 96)
    there = {tuple(rgb) for rgb in np.asarray(image).reshape(-1, 3)}
    assert {tuple(rgb) for rgb in make("nearest", image).reshape(-1, 3)} <= there


def test_a_centre_crop_loses_the_ends_and_a_letterbox_adds_black_bars() -> None:
    wide = np.zeros((32, 96, 3), dtype=np.uint8)
    wide[:, 32:64] = 200
    cropped = make("centre_crop", Image.fromarray(wide))
    assert (cropped == 200).all()
    boxed = make("letterbox", Image.fromarray(np.full((32, 96, 3), 200, dtype=np.uint8)))
    assert (boxed[:10] == 0).all()
    assert (boxed[-10:] == 0).all()
    assert (boxed[12:20] == 200).all()


def test_order_and_scale_are_what_their_names_say() -> None:
    image = noise(SIDE, SIDE)
    pixels = np.asarray(image)
    np.testing.assert_array_equal(make("bgr", image), pixels[:, :, [2, 1, 0]])
    planes = np.concatenate([pixels[:, :, c].ravel() for c in range(3)])
    np.testing.assert_array_equal(make("planes", image).ravel(), planes)
    assert set(make("divided_twice", image).ravel()) == {0, 1}
    np.testing.assert_array_equal(make("divided_twice", image) == 1, pixels == 255)


def test_transparency_shows_the_hidden_colour_or_a_white_ground() -> None:
    hidden = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert (right(hidden) == 0).all()
    assert (make("transparency_dropped", hidden) == [10, 20, 30]).all()
    assert (make("transparency_on_white", hidden) == 255).all()


def test_two_mistakes_are_made_at_once() -> None:
    image = noise(60, 40)
    both = with_mistakes([BY_NAME["bgr"], BY_NAME["plain_bilinear"]]).pixels(image, RULE)
    np.testing.assert_array_equal(both, make("plain_bilinear", image)[:, :, ::-1])


def test_two_mistakes_in_one_step_are_refused() -> None:
    with pytest.raises(ValueError, match="two mistakes in the step resize"):
        with_mistakes([BY_NAME["area"], BY_NAME["nearest"]])


@pytest.mark.parametrize(
    ("method", "none"),
    [
        ("squish", "squish"),
        ("crop", "centre_crop"),
        ("pad:zeros", "letterbox"),
        ("pad:reflection", None),
        ("centre:zeros", None),
        ("squish:16", None),
    ],
)
@pytest.mark.parametrize("side", [32, (24, 40)])
def test_each_mistake_of_another_resize_makes_other_pixels_and_what_it_does_itself_is_none(
    method: str, none: str | None, side: object
) -> None:
    rule = resize_by(method, side)
    found = {mistake.name: mistake for mistake in mistakes_with(rule)}
    assert found.keys() == {*BY_NAME, SQUISHED.name} - {none}
    image = noise(160, 60)
    for mistake in found.values():
        made = with_mistakes([mistake]).pixels(image, rule)
        assert made.shape == (*rule.size, 3)
        same = mistake.step == "turn" or not mistake.on_photographs
        if rule.mode == "centre" and mistake.name in OTHER_FILTERS:
            continue  # nothing is scaled: every filter is right
        assert bool((made == right(image, rule)).all()) == same, mistake.name
