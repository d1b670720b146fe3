from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.cli.main import main
from export.errors import CannotRunHere
from export.formats.base import verbs_of
from export.golden.diagnosis import (
    ARRAY_MISTAKES,
    AppPixels,
    Diagnosis,
    candidates,
    diagnose,
    read_app_pixels,
)
from export.golden.pack import Pack, read_pack
from export.golden.replay import within
from export.images.preprocessing_mistakes import MISTAKES, Mistake, with_mistakes
from export.publish.assets import FOLDERS
from pipeline.errors import BadInput
from pipeline.images import decode
from pipeline.resize.rule import Resize
from tests.conftest import SIDE
from tests.export.conftest import Exported

pytestmark = pytest.mark.slow("exports every format first")

FP32, W4 = "tiny_fp32.onnx", "tiny_w4.onnx"
BY_NAME = {mistake.name: mistake for mistake in MISTAKES}
# A case of the pack that shows the mistake, with a result that no other mistake gives.
SHOWS = {
    "plain_bilinear": "grey",
    "nearest": "odd_size",
    "area": "odd_size",
    "bicubic": "grey",
    "lanczos": "grey_jpeg",
    "centre_crop": "wide",
    "letterbox": "wide",
    "jpeg_70": "odd_size",
    "bgr": "right_size",
    "planes": "colour_jpeg",
    "divided_twice": "right_size",
    "rotation_ignored": "upright_photo",
    "transparency_dropped": "grey_alpha",
    "transparency_on_white": "colour_alpha",
    "sixteen_bits_clipped": "grey_16_bit",
}
CASES = sorted(set(SHOWS.values()) | {"tiny", "one_pixel", "mirrored"})


@pytest.fixture(scope="module")
def pack(exported: Exported) -> Pack:
    return read_pack(exported.root / FOLDERS["android"])


@pytest.fixture(autouse=True, scope="module")
def made_once() -> Iterator[None]:
    """The result of each mistake for an image, shared by all tests."""

    @cache
    def remembered(image: Path, rule: Resize) -> list[tuple[tuple[str, ...], np.ndarray]]:
        return list(candidates(image, rule))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.golden.diagnosis.candidates", remembered)
        yield


def made_by(pack: Pack, case: str, *mistakes: str) -> np.ndarray:
    way = with_mistakes([BY_NAME[name] for name in mistakes])
    return way.pixels(decode(pack.case(case).image), pack.rule)


def told(pack: Pack, case: str, *mistakes: str) -> Diagnosis:
    return diagnose(pack, case, AppPixels(made_by(pack, case, *mistakes)))


# --- pixels -----------------------------------------------------------------------------------


def test_every_mistake_is_shown_by_a_case() -> None:
    assert SHOWS.keys() == BY_NAME.keys()


@pytest.mark.parametrize("name", SHOWS)
def test_each_planted_mistake_is_named(name: str, pack: Pack) -> None:
    found = told(pack, SHOWS[name], name)
    assert found.preprocessing == "wrong"
    assert found.model == "not given"
    assert found.explanations == ((name,),)
    assert found.faulty
    assert any(BY_NAME[name].seen_in in sentence for sentence in found.sentences)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_mistake_is_among_the_explanations_wherever_an_image_shows_it(
    mistake: Mistake, case: str, pack: Pack
) -> None:
    golden = pack.case(case)
    pixels = with_mistakes([mistake]).pixels(decode(golden.image), pack.rule)
    found = diagnose(pack, case, AppPixels(pixels))
    if within(pixels, golden.pixels, golden.tolerance):
        assert found.preprocessing == "right"
        assert not found.faulty
    else:
        assert found.preprocessing == "wrong"
        assert (mistake.name,) in found.explanations


@pytest.mark.parametrize(
    ("case", "pair"),
    [
        ("odd_size", ("plain_bilinear", "bgr")),
        ("odd_size", ("centre_crop", "bgr")),
        ("upright_photo", ("plain_bilinear", "rotation_ignored")),
        ("colour_alpha", ("area", "transparency_on_white")),
    ],
)
def test_two_mistakes_at_once_are_named(case: str, pair: tuple[str, str], pack: Pack) -> None:
    assert told(pack, case, *pair).explanations == (pair,)


def test_mistakes_that_an_image_cannot_distinguish_are_reported(pack: Pack) -> None:
    """3 x 5 pixels are enlarged alike by nearest neighbour and by area."""
    found = told(pack, "tiny", "area")
    assert set(found.explanations) == {("nearest",), ("area",)}
    assert any("cannot distinguish these" in sentence for sentence in found.sentences)


def test_a_mistake_is_named_though_the_library_rounds_differently(pack: Pack) -> None:
    pixels = made_by(pack, "odd_size", "plain_bilinear").astype(int)
    off = np.random.default_rng(1).integers(-1, 2, pixels.shape)
    found = diagnose(pack, "odd_size", AppPixels(np.clip(pixels + off, 0, 255).astype(np.uint8)))
    assert found.explanations == (("plain_bilinear",),)
    assert any("near (" in sentence for sentence in found.sentences)


def test_pixels_within_the_tolerance_are_right(pack: Pack) -> None:
    pixels = pack.case("grey_jpeg").pixels.copy()
    pixels[::2] ^= 1
    found = diagnose(pack, "grey_jpeg", AppPixels(pixels))
    assert found.preprocessing == "right"
    assert found.explanations == ()


def test_an_unknown_mistake_is_not_given_a_name(pack: Pack) -> None:
    inverted = 255 - pack.case("odd_size").pixels
    found = diagnose(pack, "odd_size", AppPixels(inverted))
    assert found.preprocessing == "wrong"
    assert found.explanations == ()
    assert any("no known mistake" in sentence for sentence in found.sentences)


# --- an app's arrays --------------------------------------------------------------------------


def saved(folder: Path, array: np.ndarray) -> Path:
    path = folder / "app.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    ("change", "undone"),
    [
        (lambda p: p, ()),
        (lambda p: p[None], ()),
        (lambda p: p.astype(np.float32), ()),
        (lambda p: p.astype(np.float32) / 255, ("divided",)),
        (lambda p: p.transpose(2, 0, 1), ("channels_first",)),
        (lambda p: (p / 255.0).transpose(2, 0, 1)[None], ("channels_first", "divided")),
    ],
)
def test_an_array_is_taken_as_apps_make_it_and_what_was_wrong_with_it_is_named(
    change: Callable[[np.ndarray], np.ndarray], undone: tuple[str, ...], pack: Pack, tmp_path: Path
) -> None:
    given = read_app_pixels(saved(tmp_path, change(pack.case("odd_size").pixels)), SIDE)
    np.testing.assert_array_equal(given.pixels, pack.case("odd_size").pixels)
    assert given.undone == undone
    found = diagnose(pack, "odd_size", given)
    assert found.preprocessing == ("wrong" if undone else "right")
    assert found.explanations == ((undone,) if undone else ())
    for name in undone:
        assert any(ARRAY_MISTAKES[name] in sentence for sentence in found.sentences)


def test_floats_divided_by_255_still_show_another_mistake(pack: Pack, tmp_path: Path) -> None:
    pixels = made_by(pack, "odd_size", "bgr") / np.float32(255)
    found = diagnose(pack, "odd_size", read_app_pixels(saved(tmp_path, pixels), SIDE))
    assert found.explanations == (("divided", "bgr"),)


def test_normalised_values_are_recognised_by_their_range(pack: Pack, tmp_path: Path) -> None:
    values = (pack.case("odd_size").pixels / 255 - 0.45) / 0.225
    found = diagnose(pack, "odd_size", read_app_pixels(saved(tmp_path, values), SIDE))
    assert found.explanations == (("normalised",),)
    assert found.preprocessing == "wrong"


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((SIDE, SIDE), np.uint8), "has the shape"),
        (np.zeros((SIDE + 1, SIDE, 3), np.uint8), "has the shape"),
        (np.full((SIDE, SIDE, 3), np.nan), "are not numbers"),
        (np.full((SIDE, SIDE, 3), "x"), "are not numbers"),
    ],
)
def test_an_array_that_is_no_image_is_refused(array: np.ndarray, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said):
        read_app_pixels(saved(tmp_path, array), SIDE)


def test_a_pickled_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match="cannot be read as an array"):
        read_app_pixels(path, SIDE)


def test_a_png_of_another_mode_is_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (SIDE, SIDE)).save(tmp_path / "app.png")
    with pytest.raises(BadInput, match="has the mode RGBA, not RGB"):
        read_app_pixels(tmp_path / "app.png", SIDE)


# --- outputs ----------------------------------------------------------------------------------


def answered(pack: Pack, pixels: np.ndarray, path: str = FP32) -> np.ndarray:

    verbs = verbs_of("onnx")
    found = verbs.run(verbs.load(pack.folder / path, 1), pixels[None])
    return found.probs[0].astype(np.float64)


def judged(
    pack: Pack, case: str, pixels: np.ndarray | None, probs: np.ndarray, path: str = FP32
) -> Diagnosis:
    given = None if pixels is None else AppPixels(pixels)
    return diagnose(pack, case, given, (path, "onnx", np.asarray(probs, dtype=np.float64)))


def test_right_pixels_and_right_outputs_are_right(pack: Pack) -> None:
    case = pack.case("odd_size")
    found = judged(pack, case.name, case.pixels, case.probs[FP32] + 1e-6)
    assert (found.preprocessing, found.model, found.faulty) == ("right", "right", False)


@pytest.mark.parametrize("name", ["plain_bilinear", "bgr", "centre_crop", "divided_twice"])
def test_after_a_planted_mistake_the_model_is_not_blamed(name: str, pack: Pack) -> None:
    pixels = made_by(pack, "odd_size", name)
    found = judged(pack, "odd_size", pixels, answered(pack, pixels))
    assert (found.preprocessing, found.model) == ("wrong", "right")
    assert found.explanations == ((name,),)


@pytest.mark.parametrize("name", ["plain_bilinear", "bgr", "centre_crop", "divided_twice"])
def test_an_output_alone_identifies_a_mistake_as_well(name: str, pack: Pack) -> None:
    probs = answered(pack, made_by(pack, "odd_size", name))
    found = judged(pack, "odd_size", None, probs)
    assert (found.preprocessing, found.model) == ("wrong", "right")
    assert (name,) in found.explanations


FAULTS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "labels swapped": (lambda p: p[::-1], "in another order"),
    "softmax twice": (lambda p: np.exp(p) / np.exp(p).sum(), "softmax taken once more"),
    "logits": (lambda p: np.log(p), "do not sum to one"),
    "not a number": (lambda p: p * np.nan, "not a number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_right_pixels_and_wrong_outputs_are_a_fault_of_the_model(fault: str, pack: Pack) -> None:
    change, said = FAULTS[fault]
    case = pack.case("odd_size")
    found = judged(pack, case.name, case.pixels, change(case.probs[FP32]))
    assert (found.preprocessing, found.model) == ("right", "wrong")
    assert found.explanations == ()
    assert found.sentences[0].startswith("the model is at fault")
    assert any(said in sentence for sentence in found.sentences)


def test_the_file_of_another_precision_is_recognised(pack: Pack) -> None:
    case = pack.case("odd_size")
    found = judged(pack, case.name, case.pixels, case.probs[W4])
    assert (found.preprocessing, found.model) == ("right", "wrong")
    assert any(W4 in s and "is that the file" in s for s in found.sentences)


def test_wrong_pixels_and_a_wrong_model_are_both_reported(pack: Pack) -> None:
    pixels = made_by(pack, "odd_size", "bgr")
    found = judged(pack, "odd_size", pixels, answered(pack, pixels)[::-1])
    assert (found.preprocessing, found.model) == ("wrong", "wrong")
    assert found.explanations == (("bgr",),)


def test_an_output_that_no_mistake_explains_is_the_models(pack: Pack) -> None:
    found = judged(pack, "odd_size", None, np.array([0.123456, 0.654321]))
    assert (found.preprocessing, found.model) == ("not given", "wrong")


def test_without_a_runtime_there_is_no_diagnosis_but_a_reason(
    pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(path: Path, threads: int) -> None:
        raise CannotRunHere("onnxruntime is not installed")

    monkeypatch.setattr("export.formats.onnx.format.load", nowhere)
    found = judged(pack, "odd_size", None, np.array([0.123456, 0.876544]))
    assert (found.model, found.faulty) == ("cannot be told", True)
    assert any("onnxruntime is not installed" in sentence for sentence in found.sentences)


# --- the command ------------------------------------------------------------------------------


def run(pack: Pack, *arguments: str) -> int:
    return main(["golden", str(pack.folder), *arguments])


def test_the_command_names_the_mistake_and_exits_1(
    pack: Pack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(made_by(pack, "odd_size", "plain_bilinear")).save(tmp_path / "app.png")
    out = tmp_path / "diagnosis.json"
    pixels = ["--pixels", str(tmp_path / "app.png"), "--json", str(out)]
    assert run(pack, "--case", "odd_size", *pixels) == 1
    printed = capsys.readouterr().out
    assert "preprocessing is wrong on odd_size" in printed
    assert "createScaledBitmap" in printed
    assert json.loads(out.read_text())["explanations"] == [["plain_bilinear"]]


def test_the_command_exits_0_where_all_is_right(pack: Pack, tmp_path: Path) -> None:
    case = pack.case("odd_size")
    Image.fromarray(case.pixels).save(tmp_path / "app.png")
    probs = ",".join(str(p) for p in case.probs[FP32])
    given = ["--pixels", str(tmp_path / "app.png"), "--probs", probs, "--artifact", FP32]
    assert run(pack, "--case", "odd_size", *given) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--case", "odd_size"], "--pixels, --probs or both"),
        (["--probs", "0.5,0.5"], "--probs belongs to one image: name it with --case"),
        (["--case", "odd_size", "--probs", "0.5,0.5"], "which file did the app run?"),
        (["--case", "odd_size", "--probs", "0.5", "--artifact", FP32], "the model has 2"),
        (["--case", "odd_size", "--probs", "yes,no", "--artifact", FP32], "is not numbers"),
        (["--case", "odd_size", "--probs", "1,0", "--artifact", "x.onnx"], "no artifact 'x.onnx'"),
        (["--case", "even_size", "--probs", "1,0", "--artifact", FP32], "no golden case"),
        (["--case", "odd_size", "--pixels", "nowhere.png"], "nowhere.png"),
        (["--case", "odd_size", "--pixels", "nowhere.npy"], "nowhere.npy"),
    ],
)
def test_a_wrong_request_is_refused(
    arguments: list[str], said: str, pack: Pack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pack, *arguments) == 2
    assert said in capsys.readouterr().err
