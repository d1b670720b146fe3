"""Another owner's model: nothing that is published of it speaks of the released model's images."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from export.manifest.manifest import read_manifest
from export.packages import package_code
from export.packages.folder_readme import asset_readme
from export.publish.assets import FOLDERS
from export.run.export_all import export_all
from pipeline.checkpoint import OWNER_FILE, RELEASED, open_checkpoint
from pipeline.errors import BadInput
from pipeline.model_spec import INTENDED_USE, Example, Owner
from pipeline.shortcuts.analysis import report_shortcuts
from tests.conftest import make_spec
from tests.export.conftest import (
    Exported,
    read_model,
    request_export,
    run_export,
    tree,
    write_sensitive_network,
)

ROOT = Path(__file__).parents[3]
WORDS = re.compile(
    r"x-?ray|patient|diagnos|hospital|lesion|\blung|radiolog|medical|dicom|disease|chest|finding is"
    r"|\bfilms?\b|phantom|pneumon|covid|clinic|\bwards?\b|radiograph",
    re.IGNORECASE,
)
COLOURS = {
    "blå": (30, 60, 220),
    "fünf weiß": (240, 240, 240),
    "grün": (20, 160, 40),
    "été": (250, 200, 40),
    "赤": (220, 20, 30),
}
LABELS = tuple(sorted(COLOURS))
FEW = 6


def write_colours(root: Path) -> Path:
    """Blurred patches of five colours, train and valid."""
    rng = np.random.default_rng(5)
    for split, count in (("train", 4), ("valid", 3)):
        for label, colour in COLOURS.items():
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(colour, 25, (48, 40, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def hits(files: Mapping[str, bytes]) -> list[str]:
    """Where the words stand: in names, in texts, and in the strings of binary files."""
    found = []
    for path, content in files.items():
        text = f"{path}\n{content.decode('utf-8', errors='replace')}"
        for match in WORDS.finditer(text):
            around = text[max(0, match.start() - 40) : match.end() + 40]
            found.append(f"{path}: {around!r}")
    return found


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colours(tmp_path_factory.mktemp("data") / "colours")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of colours whose owner says nothing."""
    spec = make_spec(
        name="colours", labels=LABELS, positive=None, threshold=None, intended_use=INTENDED_USE
    )
    return write_sensitive_network(tmp_path_factory.mktemp("checkpoint") / "colours", spec)


@pytest.fixture(scope="module")
def published(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """Every format of it, proven on drawn samples."""
    place = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.images.drawn_samples.EMBEDDED_SAMPLES", FEW)
        few = {"precisions": ("fp32",), "jobs": 1}
        model = read_model(folder)
        yield run_export(request_export(model, None, place / "a", place / "b", **few))


@pytest.mark.slow("exports a network to every format")
def test_nothing_of_the_released_models_words_is_in_what_is_published(
    published: Exported,
) -> None:
    assert published.code == 0, published.output
    files = tree(published.root)
    assert {path.split("/")[0] for path in files} == set(FOLDERS.values())
    assert len(files) > 100
    assert hits(files) == []


@pytest.mark.slow("exports a network to every format")
def test_nor_in_its_report_and_on_the_terminal(published: Exported) -> None:
    files = {name: (published.build / name).read_bytes() for name in ("report.json", "report.html")}
    assert hits({**files, "terminal": published.output.encode()}) == []
    assert INTENDED_USE in files["report.html"].decode()


@pytest.mark.slow("exports a network to every format")
def test_it_is_proven_on_drawn_pictures_of_nothing(published: Exported) -> None:
    report = json.loads((published.build / "report.json").read_text(encoding="utf-8"))
    assert report["images"] == f"{FEW} embedded synthetic samples, 17 golden and 13 hard images"
    owner = read_manifest(published.root / "web_assets").model.owner
    assert (owner.samples, owner) == ("pictures", Owner())


@pytest.mark.slow("runs a network over images")
def test_nor_in_what_its_images_let_it_learn(folder: Path, colours: Path, tmp_path: Path) -> None:
    written = report_shortcuts(folder, colours, tmp_path / "shortcuts", threads=1)
    assert hits(tree(written)) == []


def test_the_words_would_be_found() -> None:
    """In what the released model says of itself, and in a picture that says what it is."""
    spec = open_checkpoint(RELEASED).spec
    assert hits({"owner.json": (RELEASED / OWNER_FILE).read_bytes()})
    assert hits({"README.md": spec.intended_use.encode()})
    assert hits({"grey.png": b"\x89PNG\0Synthetic test image, not a patient\0"})
    assert hits({"golden/phantom.png": b""})


# --- the released model keeps its own


def test_the_released_model_speaks_of_its_own_images_by_data_beside_it() -> None:
    manifest = read_manifest(ROOT / "web_assets")
    spec = open_checkpoint(RELEASED).spec
    model = replace(manifest.model, owner=spec.owner)
    readme = asset_readme("web", replace(manifest, model=model))
    flowing = " ".join(readme.split())
    assert "It is **not** a map of lesions" in flowing
    assert "never use it for diagnosis" in flowing
    files = package_code("web", replace(manifest, model=model))
    page = files["index.html"].decode()
    assert "classify X-rays on this device" in page
    assert "It is no map of lesions." in page
    assert [example.caption for example in spec.owner.examples] == [
        "A drawn chest, not a patient",
        "Another drawn chest",
        "A drawn chest, photographed on its side",
    ]


def test_what_the_owner_says_is_no_markup_of_the_terminal(folder: Path, tmp_path: Path) -> None:
    said = "Sorts [bold]toys[/bold], not [/red]."
    owner = Owner(examples=(Example("examples/1.jpg", "not there"),))  # the export ends early
    spec = replace(open_checkpoint(folder).spec, intended_use=said, owner=owner)
    model = read_model(write_sensitive_network(tmp_path / "marked", spec))
    screen = io.StringIO()
    request = request_export(model, None, tmp_path / "a", tmp_path / "b")
    with pytest.raises(BadInput, match="no file there"):
        export_all(request, Console(file=screen, width=200))
    assert said in screen.getvalue()


# --- the owner's examples


@pytest.fixture
def shown(folder: Path, tmp_path: Path) -> Path:
    """A checkpoint whose owner shows a picture, and says what is in it."""
    spec = open_checkpoint(folder).spec
    owner = Owner("photos", "balls", examples=(Example("examples/1.jpg", "赤 <b>ball</b>"),))
    place = write_sensitive_network(tmp_path / "shown", replace(spec, owner=owner))
    content = io.BytesIO()
    Image.new("RGB", (60, 40), (200, 20, 20)).save(content, "JPEG")
    (place / "examples").mkdir()
    (place / "examples" / "1.jpg").write_bytes(content.getvalue())
    return place


@pytest.mark.slow("exports a network")
def test_an_example_of_the_owner_is_on_the_page(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.images.drawn_samples.EMBEDDED_SAMPLES", FEW)
    few = {"formats": ("onnx",), "precisions": ("fp32",), "jobs": 1}
    done = run_export(
        request_export(read_model(shown), None, tmp_path / "a", tmp_path / "b", **few)
    )
    assert done.code == 0, done.output
    web = done.root / "web_assets"
    assert (web / "examples/1.jpg").read_bytes() == (shown / "examples/1.jpg").read_bytes()
    assert not (done.root / "android_assets" / "examples").exists()
    manifest = read_manifest(web)
    assert manifest.model.owner == open_checkpoint(shown).spec.owner
    assert "examples/1.jpg" in {file.path for file in manifest.files}
    page = (web / "index.html").read_text(encoding="utf-8")
    assert "classify photos on this device" in page
    assert "no map of balls" in page


def test_an_example_that_is_not_there_is_refused_before_anything_is_converted(
    shown: Path, tmp_path: Path
) -> None:
    (shown / "examples" / "1.jpg").unlink()
    with pytest.raises(BadInput, match=r"names examples/1\.jpg, which is no file there"):
        run_export(request_export(read_model(shown), None, tmp_path / "a", tmp_path / "b"))
    (shown / "examples" / "1.jpg").symlink_to(shown / "checkpoint.json")
    with pytest.raises(BadInput, match="no file there"):
        run_export(request_export(read_model(shown), None, tmp_path / "a", tmp_path / "b"))
    assert not (tmp_path / "a").exists()
