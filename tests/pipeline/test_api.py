"""`pipeline.api` does what the commands do, quietly, and returns objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import api
from pipeline.adopt.source_model import Adoption
from pipeline.checkpoint import open_checkpoint
from pipeline.config import TrainConfig
from pipeline.data.owners_words import OwnersWords
from pipeline.errors import BadInput
from tests.conftest import write_network
from tests.five_colours import FIVE, five_spec, paint

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "torchvision", "fastai", "sklearn", "scipy", "numpy", "PIL", "onnxruntime")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_network(tmp_path_factory.mktemp("colours") / "checkpoint", five_spec())


@pytest.mark.parametrize("module", ["pipeline.api", "export.api"])
def test_importing_it_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_predict_takes_a_folder_or_an_open_checkpoint_one_image_or_many(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = paint(tmp_path)
    by_folder = api.predict(str(colours), tmp_path)
    assert [found.file for found in by_folder] == images
    assert api.predict(open_checkpoint(colours), images) == by_folder
    assert api.predict(colours, str(images[1])) == [by_folder[1]]
    assert {found.label for found in by_folder} <= set(FIVE)
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "")


def test_predict_raises_what_cannot_be_read_or_passes_it_on(colours: Path, tmp_path: Path) -> None:
    images = paint(tmp_path)
    images[0].write_bytes(b"no image")
    with pytest.raises(BadInput, match="is not an image"):
        api.predict(colours, tmp_path)
    told: list[BadInput] = []
    assert len(api.predict(colours, tmp_path, unreadable=told.append)) == 2
    assert len(told) == 1


def test_predict_says_how_far_it_is_and_writes_heat_maps(colours: Path, tmp_path: Path) -> None:
    images = paint(tmp_path / "photos")
    done: list[tuple[int, int]] = []
    maps = tmp_path / "maps"
    found = api.predict(
        colours, images, heat_maps=str(maps), progress=lambda n, of: done.append((n, of))
    )
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert [one.heat_map for one in found] == sorted(maps.iterdir())


def test_train_asks_for_what_the_command_asks_for_and_its_lines_reach_the_callback(
    colours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: dict[str, Any] = {}

    def train(config: TrainConfig, data: Path, out: Path, **options: Any) -> Path:
        asked.update(config=config, data=data, out=out, **options)
        print("epoch 1")
        return colours

    monkeypatch.setattr("pipeline.training.train.train", train)
    said: list[str] = []
    config = TrainConfig(side=64)
    words = OwnersWords("Sorts toys.", images="photos")
    of_owner = {"words": words, "group_column": "scene"}
    made = api.train(
        "photos", config=config, out="here", name="colours", say=said.append, **of_owner
    )
    assert made == open_checkpoint(colours)
    assert made.spec.labels == FIVE
    assert (asked["config"], asked["data"], asked["out"]) == (config, Path("photos"), Path("here"))
    assert (asked["name"], asked["overwrite"], asked["shortcuts"]) == ("colours", False, True)
    assert (asked["words"], asked["group_column"]) == (words, "scene")
    assert said == ["epoch 1"]
    assert capsys.readouterr().out == ""


def test_adopt_asks_for_what_the_command_asks_for(
    colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastai")
    asked: list[Adoption] = []
    monkeypatch.setattr(
        "pipeline.adopt.adopt.adopt", lambda request: asked.append(request) or colours
    )
    words = OwnersWords("Sorts toys.", examples=(Path("赤 1.png"),))
    options = {"side": (192, 256), "resize": "crop", "words": words, "group_column": "scene"}
    made = api.adopt("w.pth", labels=["a", "b"], data="photos", **options)
    assert made == open_checkpoint(colours)
    of_file = {"source": Path("w.pth"), "labels": ("a", "b"), "data": Path("photos")}
    assert asked == [Adoption(**of_file, **options)]
    api.adopt("w.pth")
    assert asked[1] == Adoption(source=Path("w.pth"))


def test_compress_returns_an_open_checkpoint_for_each_precision(
    colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def compress(checkpoint: Path, *arguments: object, **options: object) -> list[Path]:
        asked.append((checkpoint, *arguments, options))
        return [write_network(tmp_path / "int8", five_spec())]

    monkeypatch.setattr("pipeline.compress.compress.compress", compress)
    made = api.compress(open_checkpoint(colours), "photos", ["int8"], changes={"epochs": 0})
    assert made == {"int8": open_checkpoint(tmp_path / "int8")}
    options = {"changes": {"epochs": 0}, "overwrite": False}
    assert asked == [(colours, Path("photos"), ["int8"], options)]


def test_a_request_that_cannot_be_served_is_raised_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for call in (
        lambda: api.train(tmp_path / "nowhere"),
        lambda: api.compress(tmp_path / "nowhere"),
        lambda: api.predict(tmp_path / "nowhere", __file__),
        lambda: api.adopt(tmp_path / "nowhere.pkl"),
    ):
        with pytest.raises(BadInput, match="nowhere"):
            call()
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "")
