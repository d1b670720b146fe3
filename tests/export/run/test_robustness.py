from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from export.cli.main import main
from export.deploy.outputs import Answers
from export.errors import CannotRunHere
from export.images.preprocessing_mistakes import MISTAKES
from export.report.robustness import robustness_json
from export.run.robustness import (
    LIMITS,
    Robustness,
    measure_if_run,
    measure_robustness,
    print_robustness,
    robustness_entry,
)
from pipeline.data.dataset import Sample
from pipeline.errors import BadInput
from tests.conftest import make_spec
from tests.export.conftest import Exported, Model

SPEC = make_spec(side=32, threshold=0.5)
PHOTOGRAPHED = [mistake.name for mistake in MISTAKES if mistake.on_photographs]


class RedShare:
    """A runner whose probability of the first label is the mean of red: easy to predict."""

    RUN_BY = "run by hand"
    ALSO = ()

    def load(self, path: Path, threads: int) -> None:
        assert threads == 1

    def run(self, session: Any, images: np.ndarray) -> Answers:
        red = images[..., 0].mean(axis=(1, 2)) / 255
        return Answers(np.stack([red, 1 - red], axis=1).astype(np.float32))


class Nowhere(RedShare):
    def load(self, path: Path, threads: int) -> None:
        raise CannotRunHere("no such machine")


def write_samples(folder: Path, colours: list[tuple[int, int, int]]) -> list[Sample]:
    """One image of a single colour each; the reddish ones are of the first label."""
    samples = []
    for i, colour in enumerate(colours):
        path = folder / f"{i}.png"
        Image.new("RGB", (48, 32), colour).save(path)
        label = SPEC.labels[0] if colour[0] > 127 else SPEC.labels[1]
        samples.append(Sample(path, path.name, label))
    return samples


@pytest.fixture
def measured(tmp_path: Path) -> Robustness:
    colours = [(200, 0, 0), (200, 0, 250), (20, 0, 250), (30, 0, 0)]
    return measure_robustness(
        SPEC, RedShare(), Path("red.onnx"), write_samples(tmp_path, colours), "colours"
    )


def row(found: Robustness, name: str) -> Any:
    return next(row for row in found.rows if row.name == name)


def test_there_is_a_row_for_every_mistake_that_photographs_show(measured: Robustness) -> None:
    assert [row.name for row in measured.rows] == PHOTOGRAPHED
    assert measured.images == 4
    assert measured.source == "4 colours"
    assert measured.artifact == "red.onnx"
    assert measured.auroc == 1.0


def test_flips_are_counted_against_the_right_pixels(measured: Robustness) -> None:
    """Red is 200, 200, 20, 30, blue is 0, 250, 250, 0: the first and the third change sides."""
    bgr = row(measured, "bgr")
    assert (bgr.changed, bgr.flips, bgr.flip_rate) == (4, 2, 0.5)
    assert bgr.max_abs_diff == pytest.approx(230 / 255, abs=1e-6)
    assert bgr.mean_abs_diff == pytest.approx((200 + 50 + 230 + 30) / 4 / 255, abs=1e-6)
    assert bgr.auroc == 0.5  # blue is 0, 250, 250, 0: one of the reddish ones above, one below


def test_what_the_model_gets_wrong_anyway_is_no_flip(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [(200, 0, 200), (20, 0, 20)])
    other_way = [
        Sample(s.path, s.file, label) for s, label in zip(samples, SPEC.labels[::-1], strict=True)
    ]
    found = measure_robustness(SPEC, RedShare(), Path("x"), other_way, "")
    assert found.auroc == 0.0
    assert row(found, "bgr").flips == 0
    assert row(found, "nearest").flips == 0


def test_the_interval_is_wilsons(measured: Robustness) -> None:
    """Of 2 in 4; by the formula of Wilson 1927 with z = 1.96."""
    z, n, p = 1.959964, 4, 0.5
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    bgr = row(measured, "bgr")
    assert (bgr.low, bgr.high) == pytest.approx((centre - half, centre + half), abs=1e-4)


def test_an_even_colour_is_the_same_under_every_filter(measured: Robustness) -> None:
    for name in ("plain_bilinear", "nearest", "area", "lanczos", "centre_crop"):
        found = row(measured, name)
        assert (found.changed, found.flips, found.max_abs_diff) == (0, 0, 0.0)
        assert found.auroc == 1.0


def test_ignored_rotation_is_measured_on_photos_that_are_turned(tmp_path: Path) -> None:
    """Brighter above than below: the same red, so only the number of changed images shows it."""
    pixels = np.zeros((40, 40, 3), dtype=np.uint8)
    pixels[:20] = 200
    Image.fromarray(pixels).save(tmp_path / "0.png")
    Image.new("RGB", (40, 40), (9, 9, 9)).save(tmp_path / "1.png")
    samples = [
        Sample(tmp_path / f"{i}.png", f"{i}.png", label) for i, label in enumerate(SPEC.labels)
    ]
    found = measure_robustness(SPEC, RedShare(), Path("x"), samples, "")
    assert row(found, "rotation_ignored").changed == 1


def test_each_image_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.images import decode

    read = []
    monkeypatch.setattr("export.run.robustness.decode", lambda p: read.append(p) or decode(p))
    samples = write_samples(tmp_path, [(200, 0, 0), (1, 2, 3)])
    measure_robustness(SPEC, RedShare(), Path("x"), samples, "")
    assert read == [sample.path for sample in samples]


def test_a_large_image_gives_the_same_and_a_very_large_one_is_made_smaller(
    measured: Robustness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.images.preprocessing_mistakes import taken_sideways
    from pipeline.image_files import large_image

    sizes = []
    monkeypatch.setattr(large_image, "LARGE_PIXELS", 1)
    monkeypatch.setattr(
        "export.run.robustness.taken_sideways", lambda i: sizes.append(i.size) or taken_sideways(i)
    )
    colours = [(200, 0, 0), (200, 0, 250), (20, 0, 250), (30, 0, 0)]
    samples = write_samples(tmp_path, colours)
    found = measure_robustness(SPEC, RedShare(), Path("red.onnx"), samples, "colours")
    assert found == measured
    monkeypatch.setattr(large_image, "MOST_AT_ONCE", 100)
    found = measure_robustness(SPEC, RedShare(), Path("red.onnx"), samples, "colours")
    assert row(found, "bgr") == row(measured, "bgr")
    assert sizes == [(48, 32)] * 4 + [(12, 8)] * 4


# --- the limit --------------------------------------------------------------------------------


def with_flips(flips: int, images: int) -> Robustness:
    from export.run.robustness import MistakeCost

    rate = flips / images
    limited = MistakeCost("plain_bilinear", "", "", "", 1, flips, rate, 0, 1, 0.9, 0.1, 0.1, 0.01)
    free = MistakeCost("nearest", "", "", "", 1, images, 1.0, 0, 1, 0.9, 0.1, 0.1, None)
    return Robustness("m 1", "m.onnx", images, "images", 0.9, 0.5, (limited, free))


def test_plain_bilinear_alone_has_a_limit_of_one_percent() -> None:
    assert LIMITS == {"plain_bilinear": 0.01}


@pytest.mark.parametrize(("flips", "verdict"), [(0, "pass"), (1, "pass"), (2, "fail")])
def test_one_percent_of_the_labels_may_flip_and_no_more(flips: int, verdict: str) -> None:
    found = with_flips(flips, 150)
    document = robustness_json(robustness_entry(found))
    assert [row["verdict"] for row in document["rows"]] == [verdict, ""]
    assert document["status"] == verdict
    assert bool(found.broken) == (verdict == "fail")
    if found.broken:
        assert found.broken == ("plain_bilinear flips 2 of 150 labels (1.3%), allowed are 1%",)


def test_the_table_on_screen_says_what_breaks_the_limit() -> None:
    screen = io.StringIO()
    print_robustness(Console(file=screen, width=100), with_flips(2, 150))
    assert "FAIL" in screen.getvalue()
    assert "flips 2 of 150" in screen.getvalue()


def test_what_cannot_be_run_is_not_run_with_its_reason() -> None:
    assert measure_if_run(SPEC, Nowhere(), Path("x"), [], "") == (None, "no such machine")
    assert robustness_json(robustness_entry(None, "no such machine")) == {
        "schema": 1,
        "status": "not_run",
        "reason": "no such machine",
    }


# --- the command ------------------------------------------------------------------------------


def request(exported: Exported, model: Model, *more: str) -> list[str]:
    folders = ["--assets", str(exported.root), "--checkpoint", str(model.folder)]
    return ["robustness", *folders, *more]


def test_without_data_it_is_not_run_and_says_why(
    exported: Exported, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "robustness.json"
    assert main(request(exported, model, "--out", str(out))) == 0
    assert "not run: it needs labelled validation images" in capsys.readouterr().out
    assert json.loads(out.read_text())["status"] == "not_run"
    assert main(request(exported, model, "--strict")) == 1


@pytest.mark.parametrize("artifact", [(), ("--format", "torchscript", "--precision", "w4")])
def test_the_published_file_runs(
    artifact: tuple[str, ...], exported: Exported, model: Model, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "robustness.json"
    arguments = request(exported, model, "--data", str(data), "--out", str(out), *artifact)
    code = main(arguments)
    document = json.loads(out.read_text())
    assert code == (document["status"] == "fail")
    assert document["images"] == 6
    assert document["artifact"] == ("tiny_w4.ptl" if artifact else "tiny_fp32.onnx")
    assert [row["name"] for row in document["rows"]] == PHOTOGRAPHED


def test_a_broken_limit_exits_1(
    exported: Exported, model: Model, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "export.run.robustness.measure_robustness", lambda *arguments: with_flips(2, 150)
    )
    assert main(request(exported, model, "--data", str(data))) == 1
    monkeypatch.setattr(
        "export.run.robustness.measure_robustness", lambda *arguments: with_flips(1, 150)
    )
    assert main(request(exported, model, "--data", str(data))) == 0


def test_assets_of_another_checkpoint_are_refused(
    exported: Exported, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["robustness", "--assets", str(exported.root), "--data", str(data)]
    assert main(arguments) == 2
    assert "another checkpoint" in capsys.readouterr().err


def test_a_damaged_file_is_refused(
    assets: Path, model: Model, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = assets / "android_assets" / "tiny_fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    folders = ["--assets", str(assets), "--checkpoint", str(model.folder)]
    assert main(["robustness", *folders, "--data", str(data)]) == 2
    assert "tiny_fp32.onnx has" in capsys.readouterr().err


def test_a_precision_that_is_not_there_is_refused(
    exported: Exported, model: Model, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = request(exported, model, "--data", str(data), "--precision", "w2")
    assert main(arguments) == 2
    assert "has no onnx w2" in capsys.readouterr().err


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    samples = write_samples(tmp_path, [(200, 0, 0)])
    samples[0].path.write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"0\.png is not an image"):
        measure_robustness(SPEC, RedShare(), Path("x"), samples, "")


def test_the_report_of_an_export_has_the_table(exported: Exported) -> None:
    report = json.loads((exported.build / "report.json").read_text())
    assert report["robustness"]["images"] == 6
    assert [row["name"] for row in report["robustness"]["rows"]] == PHOTOGRAPHED
    assert "Preprocessing mistakes on 6 validation images of xrays" in exported.output
