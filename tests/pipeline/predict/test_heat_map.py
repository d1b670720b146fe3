from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import BadInput
from pipeline.predict.heat_map import (
    SPEAKS_AGAINST,
    SPEAKS_FOR,
    contrast,
    draw_heat_map,
    heat_map_places,
    write_heat_map,
)
from pipeline.predict.prediction import Prediction


def evidence() -> np.ndarray:
    """Of three classes on 2 x 2 places; class 1 stands out at the top right."""
    found = np.zeros((3, 2, 2), np.float32)
    found[1, 0, 1] = 6
    found[0, 1, 0] = 4
    return found


def test_contrast_is_a_class_less_the_mean_of_the_others() -> None:
    assert contrast(evidence(), 1).tolist() == [[0, 6], [-2, 0]]


def test_what_is_added_to_every_class_moves_nothing() -> None:
    moved = evidence() + np.arange(4, dtype=np.float32).reshape(2, 2)
    np.testing.assert_array_equal(contrast(moved, 1), contrast(evidence(), 1))


def test_the_strongest_evidence_has_the_strongest_colour_where_it_lies() -> None:
    pixels = np.full((48, 64, 3), 128, np.uint8)
    drawn = np.asarray(draw_heat_map(pixels, contrast(evidence(), 1))).astype(int)
    height, width = drawn.shape[:2]
    assert (height % 48, width % 64, height * 64) == (0, 0, width * 48)

    def distance(y: float, x: float, colour: tuple[int, int, int]) -> int:
        return int(np.abs(drawn[int(y * height), int(x * width)] - colour).sum())

    for_it = {(y, x): distance(y, x, SPEAKS_FOR) for y in (0.25, 0.75) for x in (0.25, 0.75)}
    against = {place: distance(*place, SPEAKS_AGAINST) for place in for_it}
    assert min(for_it, key=lambda place: for_it[place]) == (0.25, 0.75)
    assert min(against, key=lambda place: against[place]) == (0.75, 0.25)
    assert drawn[int(0.25 * height), int(0.1 * width)].tolist() == [128] * 3  # no evidence: grey


def test_weak_evidence_is_not_blown_up() -> None:
    pixels = np.full((64, 64, 3), 128, np.uint8)
    drawn = np.asarray(draw_heat_map(pixels, contrast(evidence() / 600, 1)))
    assert np.abs(drawn.astype(int) - 128).max() <= 2


def test_the_picture_says_in_words_what_it_shows(tmp_path: Path) -> None:
    found = Prediction(Path("a.png"), "été", {"blå": 0.1, "été": 0.8, "赤": 0.1})
    write_heat_map(tmp_path / "deep/a.png", np.zeros((8, 8, 3), np.uint8), evidence(), found)
    with Image.open(tmp_path / "deep/a.png") as image:
        assert "Evidence for été" in image.text["Description"]
        assert "full colour is 6.0 logits" in image.text["Description"]


def test_heat_maps_that_the_next_run_would_take_for_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="outside of it"):
        heat_map_places(tmp_path / "maps", [tmp_path], [tmp_path / "a.png"])


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "maps").touch()
    with pytest.raises(BadInput, match="is a file"):
        heat_map_places(tmp_path / "maps", [], [tmp_path / "a.png"])
