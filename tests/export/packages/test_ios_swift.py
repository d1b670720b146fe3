"""The iOS package by a real Swift compiler: its own XCTests, alone and against stand-ins.

`make swift` fetches the compiler. On Linux the classifier class meets stand-ins of Apple's
frameworks, and images that Pillow decoded: what is proven is all that lies between them.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.manifest.manifest import MANIFEST_FILE
from export.runtimes.swift import is_installed
from pipeline.images import read_image
from tests.export import swift_workshop as workshop
from tests.export.made_assets import write_assets
from tests.export.resized_release import RULES, shared_release
from tests.export.swift_workshop import Run

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "ios_assets"
SIDE = 48
LABELS = ('it\'s "x" \\(y)', "b\n\tü")
GRID = (1, 2, 3, 5)
MODULE = "TinyXray2"

pytestmark = [
    pytest.mark.ci("compiles the Swift package"),
    pytest.mark.skipif(not is_installed(), reason="no Swift compiler here; make swift fetches one"),
]
on_linux = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has the real frameworks")


def noise(width: int, height: int, seed: int, mode: str = "RGB") -> Image.Image:
    """Noise over a slope: both sharp and smooth, so that a filter shows in either."""
    rng = np.random.default_rng(seed)
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode]
    slope = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    pixels = slope + rng.integers(0, 76, (height, width, channels))
    bytes_ = pixels.astype(np.uint8)
    return Image.fromarray(bytes_ if channels > 1 else bytes_[..., 0], mode)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    exif = image.getexif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    image.save(content, "PNG", exif=exif)
    content.seek(0)
    return Image.open(content)


def stress_images() -> dict[str, tuple[Image.Image, int | None]]:
    """Name -> image and, where it is not the usual one, its layout in memory."""
    images: dict[str, tuple[Image.Image, int | None]] = {
        "no_padding": (noise(61, 53, 1), workshop.NONE),
        "rgbx": (noise(37, 90, 2), workshop.SKIP_LAST),
        "xrgb": (noise(90, 37, 3), workshop.SKIP_FIRST),
        "bgrx": (noise(47, 49, 4), workshop.SKIP_FIRST | workshop.LITTLE_32),
        "rgba": (noise(70, 71, 5, "RGBA"), workshop.LAST),
        "argb": (noise(70, 50, 6, "RGBA"), workshop.FIRST),
        "bgra": (noise(20, 50, 7, "RGBA"), workshop.FIRST | workshop.LITTLE_32),
        "grey": (noise(101, 48, 8, "L"), None),
        "grey_alpha": (noise(101, 99, 9, "LA"), None),
        "palette": (noise(80, 61, 10).quantize(40), None),
        "one_pixel": (noise(1, 1, 11, "L").convert("RGB"), None),
        "one_column": (noise(2, 500, 12), None),
        "huge": (noise(1700, 1301, 13), None),
        "exact_size": (noise(SIDE, SIDE, 14), None),
        "exact_width": (noise(SIDE, 300, 15), None),
    }
    deep = np.random.default_rng(16).integers(0, 65536, (77, 55)).astype(np.uint16)
    images["grey_16_bits"] = (Image.fromarray(deep), None)
    for orientation in range(1, 9):
        images[f"turned_{orientation}"] = (turned(noise(64, 33, 20), orientation), None)
    images["turned_wrongly"] = (turned(noise(64, 33, 20), 9), None)
    return images


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An asset folder of a made-up model: two packages, an odd side, labels that need quoting."""
    root = tmp_path_factory.mktemp("assets")
    folders = write_assets(
        root, name="tiny_xray_2", side=SIDE, labels=LABELS, positive=LABELS[1], threshold=0.25
    )
    return folders["ios"]


@pytest.fixture(scope="module")
def manifest(assets: Path) -> dict[str, Any]:
    document = json.loads((assets / MANIFEST_FILE).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def write_pack(work: Path, manifest: dict[str, Any]) -> None:
    """A golden pack of hard images, decoded for the stand-ins, and models that know them."""
    golden = work / "package" / "golden"
    models = [a["path"] for a in manifest["artifacts"] if a["format"] == "coreml"]
    rng = np.random.default_rng(0)
    answers: dict[str, dict[str, Any]] = {model: {} for model in models}
    cases = []
    for name, (image, info) in stress_images().items():
        real = work / "real.png"
        image.save(real, exif=image.getexif())
        pixels = read_image(real, SIDE)
        sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
        workshop.write_image(golden / "images" / f"{name}.png", image, info)
        workshop.write_image(golden / "tensors" / f"{name}.png", Image.fromarray(pixels))
        probs = {}
        for model in models:
            positive = float(rng.uniform())
            probs[model] = [1 - positive, positive]
            if sha256 in answers[model]:  # stored upright, or in a way that does not exist
                probs[model] = list(answers[model][sha256]["probs"].values())
                continue
            evidence = rng.standard_normal(GRID) if model == models[0] else None
            answers[model][sha256] = workshop.answer(
                manifest["model"]["labels"], probs[model], evidence
            )
        cases.append(
            {
                "name": name,
                "why": f"it is {name}",
                "image": f"golden/images/{name}.png",
                "tensor": f"golden/tensors/{name}.png",
                "tensor_sha256": sha256,
                "probs": probs,
            }
        )
    document = {
        "schema": 1,
        "model": {key: manifest["model"][key] for key in ("name", "version")},
        "side": SIDE,
        "labels": manifest["model"]["labels"],
        "cases": cases,
        "tolerances": dict.fromkeys(models, 1e-6),
        "pixel_tolerance": {"max_abs": 0, "mean_abs": 0.0},
    }
    (golden / "golden.json").write_text(json.dumps(document), encoding="utf-8")
    workshop.write_answers(work, SIDE, answers)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, assets: Path, manifest: dict[str, Any]) -> Path:
    """Package, stand-ins, golden pack and answers, with the tests that only stand-ins allow."""
    work = tmp_path_factory.mktemp("swift")
    workshop.build_stand_ins(work)
    workshop.write_package(work / "package", assets)
    write_pack(work, manifest)
    text = (workshop.STAND_INS / "ClassifierTests.swift").read_text(encoding="utf-8")
    extra = work / "package" / "Tests" / f"{MODULE}Tests" / "ClassifierTests.swift"
    extra.write_text(text.replace("MODULE", MODULE), encoding="utf-8")
    return work


@pytest.fixture(scope="module")
def sound(work: Path) -> Run:
    return workshop.run_tests(work, stand_ins=True)


@on_linux
def test_every_image_becomes_what_pillow_makes_of_it_bit_for_bit(sound: Run) -> None:
    assert sound.outcomes["testImagesBecomeTheirPixels"] == "passed", sound.errors


@on_linux
def test_the_classifier_says_what_the_models_say(sound: Run) -> None:
    assert not sound.failed, sound.errors
    assert sound.outcomes["testTheWholeWay"] == "passed"
    assert sound.outcomes["testModelsAnswerOnTheExactPixels"] == "passed"
    assert len(sound.outcomes) > 40


PREPROCESSING_FAULTS = {
    "no_antialias": ("Resize.swift", "max(scale, 1.0)", "1.0"),
    "blue_before_red": ("PixelLayout.swift", "red = places[0]", "red = places[colours - 1]"),
    "orientation_ignored": ("Orientation.swift", "if orientation == .up", "if true"),
}


@pytest.mark.ci("compiles the Swift package with a fault in it")
@on_linux
@pytest.mark.parametrize("fault", PREPROCESSING_FAULTS)
def test_a_fault_in_preprocessing_is_distinguished_from_one_in_the_model(
    fault: str, work: Path, sound: Run
) -> None:
    name, right, wrong = PREPROCESSING_FAULTS[fault]
    file = work / "package" / "Sources" / MODULE / name
    text = file.read_text(encoding="utf-8")
    assert text.count(right) == 1
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    try:
        run = workshop.run_tests(work, stand_ins=True, only="GoldenTests")
    finally:
        file.write_text(text, encoding="utf-8")
    assert "testImagesBecomeTheirPixels" in run.failed
    assert "PREPROCESSING: " in run.output
    assert "MODEL OR RUNTIME: " not in run.output


@pytest.mark.ci("compiles the Swift package with a fault in it")
@on_linux
def test_a_fault_in_the_model_is_distinguished_from_one_in_preprocessing(
    work: Path, sound: Run
) -> None:
    text = (work / workshop.ANSWERS).read_text()
    document = json.loads(text)
    for answers in document["models"].values():
        for said in answers.values():
            first, second = said["probs"]
            said["probs"][first], said["probs"][second] = (
                said["probs"][second],
                said["probs"][first],
            )
    (work / workshop.ANSWERS).write_text(json.dumps(document))
    try:
        run = workshop.run_tests(work, stand_ins=True, only="GoldenTests")
    finally:
        (work / workshop.ANSWERS).write_text(text)
    assert "testModelsAnswerOnTheExactPixels" in run.failed
    assert "MODEL OR RUNTIME: " in run.output
    assert "testImagesBecomeTheirPixels" not in run.failed


@pytest.mark.ci("compiles the Swift package with a fault in it")
@on_linux
def test_a_buffer_with_red_and_blue_exchanged_is_found_on_the_exact_pixels(
    work: Path, sound: Run
) -> None:
    file = work / "package" / "Sources" / MODULE / "Pixels.swift"
    text = file.read_text(encoding="utf-8")
    assert "target[to] = source[from + 2]" in text
    file.write_text(text.replace("target[to] = source[from + 2]", "target[to] = source[from]"))
    try:
        run = workshop.run_tests(work, stand_ins=True)
    finally:
        file.write_text(text, encoding="utf-8")
    assert {"testTheModelsBufferIsBlueGreenRedOpaque", "testModelsAnswerOnTheExactPixels"} <= (
        run.failed
    )


@pytest.mark.ci("compiles the Swift package once more")
def test_without_core_ml_the_pure_half_builds_and_passes_alone(
    tmp_path: Path, assets: Path, manifest: dict[str, Any]
) -> None:
    workshop.write_package(tmp_path / "package", assets)
    write_pack(tmp_path, manifest)
    run = workshop.run_tests(tmp_path, stand_ins=False, only="PixelTests|PixelLayoutTests")
    assert not run.failed, run.errors
    assert "warning" not in run.output, run.output


@pytest.mark.ci("compiles the Swift package once more")
def test_another_model_is_chosen_by_one_line(
    tmp_path: Path, assets: Path, manifest: dict[str, Any]
) -> None:
    workshop.write_package(tmp_path / "package", assets)
    write_pack(tmp_path, manifest)
    package = tmp_path / "package" / "Package.swift"
    text = package.read_text()
    chosen = 'let model = "tiny_xray_2_fp16.mlpackage"'
    assert chosen in text
    package.write_text(text.replace(chosen, 'let model = "tiny_xray_2_w4.mlpackage"'))
    run = workshop.run_tests(tmp_path, stand_ins=False, only="ClassificationTests")
    assert not run.failed, run.errors
    (bundle,) = (tmp_path / "package" / ".build" / "debug").glob(f"*_{MODULE}.resources")
    assert [path.name for path in bundle.iterdir()] == ["tiny_xray_2_w4.mlpackage"]


@on_linux
@pytest.mark.skipif(not (PUBLISHED / "golden").is_dir(), reason="no golden pack is published yet")
def test_the_published_golden_pack_passes(tmp_path: Path, work: Path) -> None:
    passes_its_golden_pack(PUBLISHED, tmp_path, work)


@on_linux
@pytest.mark.ci("exports a network and compiles its Swift package")
@pytest.mark.parametrize("name", RULES)
def test_a_model_with_its_own_resize_passes_its_golden_pack(
    name: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, work: Path, built: Path
) -> None:
    assets = shared_release(name, tmp_path_factory) / "ios_assets"
    passes_its_golden_pack(assets, tmp_path, work, built)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one package after the other of the same name is built, what is the same but once."""
    return tmp_path_factory.mktemp("built")


def passes_its_golden_pack(
    assets: Path, place: Path, work: Path, built: Path | None = None
) -> None:
    document = json.loads((assets / MANIFEST_FILE).read_text(encoding="utf-8"))
    pack = json.loads((assets / "golden" / "golden.json").read_text(encoding="utf-8"))
    workshop.write_package(place / "package", assets)
    shutil.copytree(assets / "golden", place / "package" / "golden")
    models = [a["path"] for a in document["artifacts"] if a["format"] == "coreml"]
    answers: dict[str, dict[str, Any]] = {model: {} for model in models}
    for case in pack["cases"]:
        for path in (case["image"], case["tensor"]):
            with Image.open(assets / path) as image:
                image.load()
                workshop.write_image(place / "package" / path, image)
        for model in models:
            answers[model][case["tensor_sha256"]] = workshop.answer(
                pack["labels"], case["probs"][model]
            )
    workshop.write_answers(place, pack["side"], answers)
    shutil.copytree(work / "standins", place / "standins")
    if built:
        workshop.replace_changed(built, place)
    run = workshop.run_tests(built or place, stand_ins=True, optimised=True)
    assert not run.failed, run.errors
    assert "skipped" not in run.outcomes.values()
