"""The modules of the page, each by itself, in the browser that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.web_app import App

DECIDE = """async (address, [probabilities, model]) => {
    const { decide } = await import(`${address}modules/prediction.js`);
    return decide(Float32Array.from(probabilities), model);
}"""
EVIDENCE = """async (address, [rows, columns, values, index]) => {
    const maps = await import(`${address}modules/evidence.js`);
    const map = maps.against({ rows, columns, values: Float32Array.from(values) }, index);
    return {
        map: Array.from(map),
        full: maps.fullScale(map),
        strongest: maps.strongest(map, columns),
        colours: Array.from(maps.heatMap(map, rows, columns, columns, rows).data),
    };
}"""
SHOWN = """async (address, [image, input]) => {
    const { shownOf } = await import(`${address}modules/resize.js`);
    const { heatMap } = await import(`${address}modules/evidence.js`);
    const shown = shownOf(image, input);
    const { data } = heatMap(Float32Array.of(5), 1, 1, image.width, image.height, shown);
    return [shown, Array.from(data).filter((_, at) => at % 4 === 3)];
}"""
CHECKED = """async (address, file) => {
    const { fetchChecked } = await import(`${address}modules/checked_file.js`);
    return fetchChecked(file, address).then((bytes) => bytes.byteLength, (error) => error.kind);
}"""
CHOSEN = """async (address, [manifest, wanted]) => {
    const { chooseArtifact } = await import(`${address}modules/manifest.js`);
    try {
        return chooseArtifact(manifest, wanted).path;
    } catch (error) {
        return error.message;
    }
}"""


@pytest.fixture
def app(modules: App) -> App:
    return modules


TWO = {"labels": ["a", "b"], "positive": "a", "threshold": 0.2253}
SECOND = {"labels": ["a", "b"], "positive": "b", "threshold": 0.2253}
MANY = {"labels": ["a", "b", "c"], "positive": None, "threshold": None}


@pytest.mark.parametrize(
    ("probabilities", "model", "index"),
    [
        ([0.3, 0.7], TWO, 0),  # not the most probable
        ([0.2253, 0.7747], TWO, 0),  # at the threshold, in float32
        ([0.2252, 0.7748], TWO, 1),
        ([0.7, 0.3], SECOND, 1),
        ([0.9, 0.1], SECOND, 0),
        ([0.2, 0.3, 0.5], MANY, 2),
        ([0.4, 0.4, 0.2], MANY, 0),
    ],
)
def test_a_label_is_decided_by_the_manifests_rule(
    probabilities: list[float], model: dict[str, Any], index: int, app: App
) -> None:
    assert app.run(DECIDE, [probabilities, model]) == index


def test_evidence_is_a_classs_map_less_the_mean_of_the_others(app: App) -> None:
    values = [8, 0, 0, -4, 2, 0, 0, 0, 4, 0, 2, 0]  # three classes, 2 x 2 places
    found = app.run(EVIDENCE, [2, 2, values, 0])
    assert found["map"] == [5, 0, -1, -4]
    assert found["full"] == 5
    assert found["strongest"] == {"row": 1, "column": 1, "value": 5}
    orange, clear, violet = found["colours"][:4], found["colours"][4:8], found["colours"][12:]
    assert orange == [0xE6, 0x61, 0x00, 255]
    assert clear[3] == 0
    assert violet == [0x5D, 0x3A, 0x9B, round(255 * 4 / 5)]


@pytest.mark.parametrize(
    ("size", "resize", "shown", "seen"),
    [
        ((4, 1), {"mode": "squish"}, (0, 0, 1, 1), [1, 1, 1, 1]),
        ((4, 2), {"mode": "crop"}, (0.25, 0, 0.5, 1), [0, 1, 1, 0] * 2),
        ((2, 4), {"mode": "pad", "fill": "zeros"}, (-0.5, 0, 2, 1), [1] * 8),
        ((4, 2), {"mode": "centre", "fill": "zeros"}, (0.25, 0, 0.5, 1), [0, 1, 1, 0] * 2),
        ((6, 1), {"mode": "squish", "margin": 1}, (0, 0, 2 / 3, 2 / 3), [1, 1, 1, 1, 0, 0]),
    ],
)
def test_the_heat_map_lies_on_what_the_model_was_shown(
    size: tuple[int, int],
    resize: dict[str, Any],
    shown: tuple[float, ...],
    seen: list[int],
    app: App,
) -> None:
    image = {"width": size[0], "height": size[1]}
    found, opacity = app.run(SHOWN, [image, {"width": 2, "height": 2, "resize": resize}])
    assert [found[key] for key in ("left", "top", "width", "height")] == pytest.approx(shown)
    assert [int(alpha > 0) for alpha in opacity] == seen


def test_evidence_of_less_than_a_logit_is_not_blown_up(app: App) -> None:
    found = app.run(EVIDENCE, [1, 2, [0.5, 0, 0, 0], 0])
    assert found["full"] == 1
    assert found["colours"][3] == 128


def test_a_file_is_given_out_only_with_its_size_and_hash(app: App, site: Path) -> None:
    import hashlib

    content = (site / "labels.txt").read_bytes()
    file = {
        "path": "labels.txt",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert app.run(CHECKED, file) == len(content)
    for wrong in ({"size_bytes": len(content) + 1}, {"size_bytes": 3}, {"sha256": "00" * 32}):
        assert app.run(CHECKED, {**file, **wrong}) == "model-changed"
    assert app.run(CHECKED, {**file, "path": "none.onnx"}) == "model-missing"


def test_a_model_is_chosen_by_precision_or_path_among_the_onnx_files(app: App) -> None:
    names = ("fp32", "w3")
    onnx = [{"format": "onnx", "precision": p, "path": f"{p}.onnx"} for p in names]
    manifest = {"artifacts": [{"format": "ort", "precision": "int8", "path": "x.ort"}, *onnx]}
    assert app.run(CHOSEN, [manifest, "w3"]) == "w3.onnx"
    assert app.run(CHOSEN, [manifest, "fp32.onnx"]) == "fp32.onnx"
    said = app.run(CHOSEN, [manifest, "int8"])
    assert said == "No model int8 is published; there are: fp32, w3."
