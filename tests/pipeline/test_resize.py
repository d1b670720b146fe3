from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import BadInput
from pipeline.resize import pixels as pixel_module
from pipeline.resize.notation import read_resize, read_side, resize_by, side_text
from pipeline.resize.pixels import framed, resized, resized_otherwise
from pipeline.resize.rule import FILLS, Resize, Span


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng([seed, width, height])
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


RULES = {
    "squish": Resize(48, 48),
    "squish, wide": Resize(33, 64),
    "squish, tall": Resize(90, 32),
    "margin": Resize(48, 48, margin=8),
    "margin, wide": Resize(40, 64, margin=16),
    "crop": Resize(48, 48, "crop"),
    "crop, wide": Resize(36, 64, "crop"),
    "crop, tall": Resize(101, 37, "crop"),
    **{f"pad {fill}": Resize(48, 48, "pad", fill) for fill in FILLS},
    **{f"pad {fill}, wide": Resize(32, 70, "pad", fill) for fill in FILLS},
    **{f"pad {fill}, tall": Resize(100, 37, "pad", fill) for fill in FILLS},
    **{f"centre {fill}": Resize(48, 40, "centre", fill) for fill in FILLS},
}


def of_fastai(rule: Resize) -> object:
    """Fastai's transform of validation images that the rule stands for."""
    from fastai.vision import augment

    if rule.mode == "centre":
        return augment.CropPad(rule.size, pad_mode=rule.fill)
    if rule.margin:
        share = (rule.margin - 4) / max(rule.size)  # rounded up to a multiple of 8
        transform = augment.RandomResizedCrop(rule.size, val_xtra=share)
        assert math.ceil(max(rule.size) * share / 8) * 8 == rule.margin
        return transform
    pads = {} if rule.fill is None else {"pad_mode": rule.fill}
    return augment.Resize(rule.size, method=rule.mode, **pads)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_pixels_are_fastais_bit_for_bit(rule: Resize) -> None:
    pytest.importorskip("fastai")
    from fastai.vision.core import PILImage

    transform = of_fastai(rule)
    rng = np.random.default_rng(sum(rule.size))
    sizes = [(int(w), int(h)) for w, h in np.exp(rng.uniform(np.log(2), np.log(300), (60, 2)))]
    # Its own size and multiples; so long that Pillow resizes the columns first; many reflections.
    sizes += [rule.size[::-1], (rule.width * 3, rule.height * 3), (40, 300), (300, 5), (7, 200)]
    compared = 0
    for width, height in sizes:
        image = noise(width, height)
        if rule.mode == "crop" and min(_window_of_fastai(rule, width, height)) < 1:
            continue  # of a crop without a pixel fastai makes black
        theirs = np.asarray(transform(PILImage(image), split_idx=1))
        assert np.array_equal(resized(image, rule), theirs), (width, height)
        compared += 1
    assert compared > 50


def _window_of_fastai(rule: Resize, width: int, height: int) -> tuple[int, int]:
    scale = min(width / rule.width, height / rule.height)
    return int(scale * rule.width), int(scale * rule.height)


def test_what_is_taken_of_an_image_is_what_the_method_says() -> None:
    assert Resize(10, 10).window(31, 20) == (Span(0, 31, 31), Span(0, 20, 20))
    assert Resize(10, 10, "crop").window(31, 20) == (Span(5, 20, 31), Span(0, 20, 20))
    assert Resize(10, 20, "crop").window(30, 20) == (Span(0, 30, 30), Span(2, 15, 20))
    # A frame of 31 x 31: 11 rows are missing, 5 of them above.
    pad = Resize(10, 10, "pad", "zeros")
    assert pad.window(31, 20) == (Span(0, 31, 31), Span(-5, 31, 20))
    # fastai's CropPad rounds down instead: 21 rows of 20, one above.
    centre = Resize(21, 10, "centre", "zeros")
    assert centre.window(31, 20) == (Span(10, 10, 31), Span(-1, 21, 20))


def test_a_crop_keeps_a_pixel_of_an_image_however_long() -> None:
    across, down = Resize(32, 96, "crop").window(1, 500)
    assert (across.length, down.length) == (1, 1)
    pixels = resized(noise(1, 500), Resize(32, 96, "crop"))
    assert np.array_equal(pixels, np.broadcast_to(np.asarray(noise(1, 500))[249], (32, 96, 3)))


def test_a_frame_is_filled_as_its_name_says() -> None:
    row = Image.fromarray(np.repeat(np.array([[10, 20, 30]], np.uint8)[..., None], 3, axis=2))

    def nine(fill: str) -> list[int]:
        return resized(row, Resize(1, 9, "centre", fill))[0, :, 0].tolist()

    assert nine("zeros") == [0, 0, 0, 10, 20, 30, 0, 0, 0]
    assert nine("border") == [10, 10, 10, 10, 20, 30, 30, 30, 30]
    assert nine("reflection") == [20, 30, 20, 10, 20, 30, 20, 10, 20]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("size", [(190, 61), (31, 257), (20, 20)])
def test_an_image_in_bands_gives_the_same_pixels(
    rule: Resize, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = resized(noise(*size), rule)
    monkeypatch.setattr(pixel_module, "BAND_PIXELS", 500)
    assert np.array_equal(resized(noise(*size), rule), whole)
    # And as if frame and filter were one step each, as fastai takes them.
    steps = resized_otherwise(
        noise(*size), rule, lambda frame, to: frame.resize(to, Image.Resampling.BILINEAR)
    )
    assert np.array_equal(steps, whole)


def test_a_frame_has_the_size_of_what_is_taken() -> None:
    for rule in RULES.values():
        across, down = rule.window(70, 31)
        assert framed(noise(70, 31), rule).size == (across.length, down.length)


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("squish", Resize(64, 64)),
        ("squish:32", Resize(64, 64, margin=32)),
        ("crop", Resize(64, 64, "crop")),
        ("pad", Resize(64, 64, "pad", "reflection")),
        ("pad:reflection", Resize(64, 64, "pad", "reflection")),
        ("pad:border", Resize(64, 64, "pad", "border")),
        ("pad:zeros", Resize(64, 64, "pad", "zeros")),
        ("centre", Resize(64, 64, "centre", "zeros")),
        ("centre:border", Resize(64, 64, "centre", "border")),
    ],
)
def test_a_method_is_read_from_its_name(method: str, rule: Resize) -> None:
    assert resize_by(method, 64) == rule
    assert resize_by(rule.method, rule.side) == rule
    assert read_resize(rule.document(), rule.side) == rule


@pytest.mark.parametrize(
    "method",
    ["", "stretch", "crop:zeros", "pad:black", "squish:-1", "squish:x", "Crop", "pad:32"],
)
def test_another_method_is_refused_with_those_there_are(method: str) -> None:
    with pytest.raises(BadInput, match=r"squish|reflection"):
        resize_by(method, 64)


def test_parts_that_contradict_each_other_are_refused() -> None:
    for wrong in (
        {"mode": "pad"},
        {"mode": "crop", "fill": "zeros"},
        {"mode": "crop", "margin": 8},
        {"mode": "squish", "fill": "zeros"},
        {"mode": "pad", "fill": "zeros", "margin": 8},
    ):
        with pytest.raises(BadInput, match="resize"):
            read_resize(wrong, 64)


@pytest.mark.parametrize(
    ("text", "side"), [("224", 224), ("192x256", (192, 256)), ("96X64", (96, 64)), ("64x64", 64)]
)
def test_a_side_is_a_number_or_height_and_width(text: str, side: object) -> None:
    assert read_side(text) == side
    assert read_side(side_text(read_side(text))) == side


@pytest.mark.parametrize("text", ["", "x", "64x", "1x2x3", "a", "6.5"])
def test_another_text_is_no_side(text: str) -> None:
    with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
        read_side(text)


def test_a_rule_is_told_with_its_size_as_width_and_height() -> None:
    rule = Resize(192, 256, "pad", "reflection")
    assert rule.pixels == "256 x 192"
    assert "256 x 192 pixels" in rule.sentence()
    assert "mirror image" in rule.sentence()
    assert "squished to 256 x 256 pixels" in Resize(224, 224, margin=32).sentence()
    said = {replace(rule, fill=fill).sentence() for fill in FILLS}
    assert len(said) == len(FILLS)
