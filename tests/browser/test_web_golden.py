"""The golden pack in the browser: the pixels, the probabilities and the evidence it demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from playwright.sync_api import Browser

from export.manifest.manifest import read_manifest
from export.packages.resize_proofs import formula_image, resize_proofs
from export.publish.web_site import build_site
from pipeline.json_files import write_json
from pipeline.resize.pixels import resized
from pipeline.resize.rule import FILLS, Resize
from tests.browser.conftest import BUILD
from tests.browser.web_app import App, golden
from tests.export.resized_release import RULES as RELEASES
from tests.export.resized_release import shared_release

PRECISIONS = ("fp32", "fp16", "int8", "w4", "w3")
# What the project promises of the browser, whatever the manifest's tolerances are.
LIMITS = {"fp32": 1e-4, "w4": 1e-4, "w3": 1e-4}
FIGURES_FILE: Final = BUILD / "browser" / "golden.json"
ANSWERS = """async (address, {model, tensors}) => {
    const { loadClassifier } = await import(`${address}modules/classifier.js`);
    const { decode } = await import(`${address}modules/decode.js`);
    const { sha256 } = await import(`${address}modules/checked_file.js`);
    const classifier = await loadClassifier({ model });
    const answers = [];
    for (const tensor of tensors) {
        const { rgb } = await decode(await (await fetch(address + tensor)).blob());
        const { probabilities, evidence } = await classifier.classifyPixels(rgb);
        answers.push({
            sha256: await sha256(rgb),
            probabilities: Array.from(probabilities),
            shape: evidence && [evidence.rows, evidence.columns],
            evidence: evidence && Array.from(evidence.values),
        });
    }
    await classifier.close();
    return answers;
}"""
PIXELS = """async (address, {image, tensor, input}) => {
    const { decode } = await import(`${address}modules/decode.js`);
    const { resize } = await import(`${address}modules/resize.js`);
    const read = async (path) => decode(await (await fetch(address + path)).blob());
    const found = resize(await read(image), input);
    const { rgb } = await read(tensor);
    const apart = Array.from(found, (value, at) => Math.abs(value - rgb[at]));
    const largest = apart.reduce((most, value) => Math.max(most, value), 0);
    return [largest, apart.reduce((sum, value) => sum + value, 0) / apart.length];
}"""
RESIZED = """async (address, {sizes, input}) => {
    const { resize } = await import(`${address}modules/resize.js`);
    const { sha256 } = await import(`${address}modules/checked_file.js`);
    const hashes = [];
    for (const [width, height] of sizes) {
        const rgb = new Uint8Array(width * height * 3);
        for (let i = 0; i < width * height; i++) {
            const bits = (Math.imul(i, 2654435761) >>> 0) >>> 8;
            rgb.set([bits >> 16 & 255, bits >> 8 & 255, bits & 255], i * 3);
        }
        hashes.push(await sha256(resize({ width, height, rgb }, input)));
    }
    return hashes;
}"""


@pytest.fixture
def app(modules: App) -> App:
    return modules


@pytest.fixture(scope="module")
def figures(browser: Browser, site: Path) -> Iterator[dict[str, Any]]:
    """What was measured, by precision; kept for the README if it is all of what is published."""
    measured: dict[str, Any] = {}
    yield measured
    manifest = read_manifest(site)
    if measured.keys() == {artifact.precision for artifact in manifest.artifacts}:
        document = {
            "schema": 1,
            "model": {"name": manifest.model.name, "version": manifest.model.version},
            "browser": f"Chromium {browser.version}, no window",
            "images": len(golden(site)["cases"]),
            "precisions": measured,
        }
        write_json(FIGURES_FILE, document)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_browser_passes_the_golden_pack_within_the_manifests_tolerance(
    precision: str, app: App, site: Path, figures: dict[str, Any]
) -> None:
    pack = golden(site)
    artifacts = {a.precision: a for a in read_manifest(site).artifacts}
    if precision not in artifacts:
        pytest.skip(f"no {precision} is published")
    artifact = artifacts[precision]
    path = artifact.path
    cases = pack["cases"]
    found = app.run(ANSWERS, {"model": precision, "tensors": [case["tensor"] for case in cases]})
    assert [answer["sha256"] for answer in found] == [case["tensor_sha256"] for case in cases]
    apart = max(
        float(np.abs(np.subtract(answer["probabilities"], case["probs"][path])).max())
        for answer, case in zip(found, cases, strict=True)
    )
    allowed = min(pack["tolerances"][path], LIMITS.get(precision, 1))
    assert apart <= allowed
    evidence = _evidence_apart(site / path, [site / case["tensor"] for case in cases], found)
    assert evidence <= artifact.parity.tolerance.max_evidence_diff
    figures[precision] = {"max_abs_diff": apart, "allowed": allowed, "evidence_diff": evidence}


def _evidence_apart(model: Path, tensors: list[Path], found: list[dict[str, Any]]) -> float:
    """The largest difference, as a share of the image's largest value; 0 without evidence."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    if "evidence" not in names:
        assert all(answer["evidence"] is None for answer in found)
        return 0.0
    shares = []
    for tensor, answer in zip(tensors, found, strict=True):
        pixels = np.asarray(Image.open(tensor))[None]
        (expected,) = session.run(["evidence"], {session.get_inputs()[0].name: pixels})
        assert list(expected.shape[2:]) == answer["shape"]
        got = np.array(answer["evidence"]).reshape(expected.shape)
        shares.append(np.abs(got - expected).max() / np.abs(expected).max())
    return float(max(shares))


def test_every_golden_image_becomes_the_pixels_that_it_must(app: App, site: Path) -> None:
    assert _wrong_pixels(app, site) == {}


def _wrong_pixels(app: App, site: Path) -> dict[str, tuple[int, float]]:
    """Case -> how far its pixels are off, of those that are further off than they may."""
    wrong = {}
    asked = {"input": input_of(read_manifest(site).model.rule)}
    for case in golden(site)["cases"]:
        paths = {"image": case["image"], "tensor": case["tensor"]}
        largest, mean = app.run(PIXELS, {**paths, **asked})
        print(f"{case['name']}: any value {largest}, mean {mean:.4f}")
        allowed = case["pixel_tolerance"]
        if largest > allowed["max_abs"] or mean > allowed["mean_abs"]:
            wrong[case["name"]] = (largest, mean)
    return wrong


def input_of(rule: Resize) -> dict[str, object]:
    """What `resize` reads of `model.input` in the manifest."""
    return {"width": rule.width, "height": rule.height, "resize": rule.document()}


RULES = {
    "squish": Resize(224, 224),
    "squish, small": Resize(64, 64),
    "squish, wide": Resize(48, 97),
    "margin": Resize(96, 96, margin=16),
    "crop": Resize(97, 97, "crop"),
    "crop, high": Resize(150, 60, "crop"),
    **{f"pad {fill}": Resize(97, 97, "pad", fill) for fill in FILLS},
    **{f"pad {fill}, high": Resize(150, 40, "pad", fill) for fill in FILLS},
    **{f"centre {fill}": Resize(80, 96, "centre", fill) for fill in FILLS},
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_resize_gives_the_bytes_that_pillow_gives(rule: Resize, app: App) -> None:
    proofs = resize_proofs(rule)
    sizes = [[proof.width, proof.height] for proof in proofs]
    found = app.run(RESIZED, {"sizes": sizes, "input": input_of(rule)})
    assert found == [proof.sha256 for proof in proofs]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_resize_gives_pillows_bytes_at_sizes_drawn_by_lot(rule: Resize, app: App) -> None:
    import hashlib

    rng = np.random.default_rng(11)
    sizes = rng.integers(1, 900, (12, 2)).tolist()
    expected = [
        resized(Image.fromarray(formula_image(width, height)), rule) for width, height in sizes
    ]
    found = app.run(RESIZED, {"sizes": sizes, "input": input_of(rule)})
    assert found == [hashlib.sha256(pixels.tobytes()).hexdigest() for pixels in expected]


@pytest.mark.ci("exports a network and opens its page")
@pytest.mark.parametrize("name", RELEASES)
def test_a_model_with_its_own_resize_passes_its_golden_pack(
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    open_app: Callable[..., App],
) -> None:
    site = tmp_path / "site"
    build_site(shared_release(name, tmp_path_factory) / "web_assets", site)
    app = open_app(site).open()
    assert _wrong_pixels(app, site) == {}
    pack = golden(site)
    (artifact,) = read_manifest(site).artifacts
    tensors = [case["tensor"] for case in pack["cases"]]
    found = app.run(ANSWERS, {"model": "fp32", "tensors": tensors})
    for answer, case in zip(found, pack["cases"], strict=True):
        expected = case["probs"][artifact.path]
        assert np.abs(np.subtract(answer["probabilities"], expected)).max() <= LIMITS["fp32"]
    app.classify(site / pack["cases"][5]["image"])  # the page itself, its heat map included
    assert app.window.errors == []
