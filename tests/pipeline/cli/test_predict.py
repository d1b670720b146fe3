"""``python -m pipeline predict`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from pipeline.checkpoint import open_checkpoint
from pipeline.cli.main import main
from tests.conftest import write_network
from tests.five_colours import FIVE, POOLED, five_spec, paint, write_pooled_network


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("colours") / "modèle", five_spec())


def test_each_image_has_a_line_with_its_label_and_the_most_probable_ones(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = paint(tmp_path)
    assert main(["predict", str(colours), str(tmp_path), "--top", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("colours 1.2.3: the most probable label decides")
    assert head.endswith(open_checkpoint(colours).spec.intended_use)
    assert len(lines) == len(images)
    for path, line in zip(images, lines, strict=True):
        label = line.removeprefix(f"{path}: ").split(" (")[0]
        assert label in FIVE
        assert line.startswith(f"{path}: {label} ({label} 0.")
        assert line.endswith(", ...)")
        assert line.count("0.") == 2


def test_json_on_stdout_is_all_that_is_printed_and_has_every_label(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image,) = paint(tmp_path, "été")
    assert main(["predict", str(colours), str(image), "--json", "-"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    document = json.loads(out)
    assert document["model"]["labels"] == list(FIVE)
    assert document["model"]["checkpoint_sha256"] == open_checkpoint(colours).sha256
    assert document["model"]["intended_use"] == open_checkpoint(colours).spec.intended_use
    (found,) = document["images"]
    assert found["file"] == str(image)
    assert sorted(found["probs"]) == sorted(FIVE)
    assert found["label"] == max(found["probs"], key=lambda label: found["probs"][label])


def test_json_in_a_file_stands_beside_the_text(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (image,) = paint(tmp_path, "été")
    target = tmp_path / "out" / "réponses.json"
    assert main(["predict", str(colours), str(image), "--json", str(target)]) == 0
    assert str(image) in capsys.readouterr().out
    assert "été" in target.read_text(encoding="utf-8")


def test_heat_maps_go_to_the_folder_that_is_named(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(tmp_path / "photos")
    maps = tmp_path / "maps"
    assert main(["predict", str(colours), str(tmp_path / "photos"), "--heat-map", str(maps)]) == 0
    assert sorted(path.name for path in maps.iterdir()) == [
        "blå 1.png.heat.png",
        "été 1.png.heat.png",
        "赤 1.png.heat.png",
    ]
    with Image.open(maps / "été 1.png.heat.png") as image:
        assert image.mode == "RGB"
    assert f"heat maps: {maps}" in capsys.readouterr().out


def test_a_network_without_evidence_says_so_and_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pooled_network(tmp_path / "pooled", five_spec(head=POOLED))
    (image,) = paint(tmp_path, "été")
    maps, target = tmp_path / "maps", tmp_path / "a.json"
    options = ["--heat-map", str(maps), "--json", str(target)]
    assert main(["predict", str(folder), str(image), *options]) == 0
    assert "heat maps: not run: the network's head keeps no map" in capsys.readouterr().out
    assert not maps.exists()
    document = json.loads(target.read_text(encoding="utf-8"))
    assert document["heat_maps_not_run"].startswith("the network's head keeps no map")
    assert document["images"][0]["heat_map"] is None


def test_an_image_that_cannot_be_read_is_told_and_the_others_are_answered(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = paint(tmp_path)
    images[0].write_bytes(b"no image")
    assert main(["predict", str(colours), str(tmp_path)]) == 2
    streams = capsys.readouterr()
    assert str(images[1]) in streams.out
    assert str(images[2]) in streams.out
    assert streams.err.count("\n") == 1
    assert streams.err.startswith(f"error: {images[0]} is not an image")


def test_a_log_is_told_how_far_many_images_are(
    colours: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.predict.report.MANY", 3)
    paint(tmp_path)
    assert main(["predict", str(colours), str(tmp_path), "--json", "-"]) == 0
    assert capsys.readouterr().err.splitlines() == [f"{n} of 3 images" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "{image}"], "no checkpoint at nowhere"),
        (["{model}", "nowhere.png"], "nowhere.png does not exist"),
        (["{model}", "{image}", "--top", "0"], "--top 0: need at least 1"),
        (["{model}", "{image}", "--json", "{folder}"], "is a folder"),
        (["{model}", "{folder}", "--heat-map", "{folder}/maps"], "outside of it"),
    ],
)
def test_a_request_that_cannot_be_served_is_exit_2_with_one_line(
    arguments: list[str],
    message: str,
    colours: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (image,) = paint(tmp_path, "été")
    places = {"model": colours, "image": image, "folder": tmp_path}
    assert main(["predict", *(argument.format(**places) for argument in arguments)]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert message in streams.err
    assert streams.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["été 1.png"]
