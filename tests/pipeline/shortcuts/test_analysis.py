from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipeline.checkpoint import RELEASED, open_checkpoint, write_checkpoint
from pipeline.data.dataset import Dataset, read_dataset
from pipeline.errors import BadInput, MissingDependency
from pipeline.model_spec import Owner
from pipeline.models import networks
from pipeline.models.networks import build_network
from pipeline.shortcuts.analysis import find_shortcuts, report_shortcuts
from pipeline.shortcuts.findings import Shortcuts
from pipeline.shortcuts.page import shortcuts_page, verdicts
from tests.conftest import LABELS, make_spec, write_images

FILES = ["evidence.png", "shortcuts.json", "shortcuts.md"]

pytestmark = pytest.mark.slow("trains, and analyses what was trained")


def write_table(
    root: Path,
    source_of: dict[str, str] | None,
    stamp: str | None = None,
    per_split: tuple[int, int] = (40, 40),
) -> Path:
    """A table of noisy images; each label alternates between the letters of its sources.

    Images of the source `stamp` have a white mark in a corner.
    """
    rng = np.random.default_rng(0)
    columns = "file,label,split" + (",source" if source_of else "")
    lines = [columns]
    (root / "images").mkdir(parents=True)
    for split, count in zip(("train", "valid"), per_split, strict=True):
        for label in LABELS:
            for i in range(count // 2):
                sources = (source_of or {}).get(label, "")
                source = sources[i % len(sources)] if sources else ""
                pixels = rng.integers(60, 120, (64, 64), dtype=np.uint8)
                if source and source == stamp:
                    pixels[2:20, 2:20] = 255
                file = f"images/{split}-{label}-{i}.png"
                Image.fromarray(pixels).save(root / file)
                lines.append(f"{file},{label},{split}" + (f",{source}" if source_of else ""))
    (root / "metadata.csv").write_text("\n".join(lines))
    return root / "metadata.csv"


def looked_at(table: Path) -> tuple[Shortcuts, Dataset]:
    """The findings for a network that has learnt nothing, on the images of a table."""
    torch.manual_seed(0)
    dataset = read_dataset(table)
    found, *_ = find_shortcuts(build_network("squeezenet1_1", 2), dataset, make_spec())
    return found, dataset


@pytest.fixture(scope="module")
def stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources with both labels; one of them stamps its images."""
    root = tmp_path_factory.mktemp("stamped") / "xrays"
    return write_table(root, dict.fromkeys(LABELS, "ab"), stamp="a")


@pytest.fixture(scope="module")
def found(stamped: Path) -> Shortcuts:
    return looked_at(stamped)[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, stamped: Path) -> Path:
    """A checkpoint that says it was made of the stamped images."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    folder.mkdir()
    torch.manual_seed(0)
    spec = make_spec(data={"fingerprint": read_dataset(stamped).fingerprint()})
    write_checkpoint(folder, spec, build_network("squeezenet1_1", 2).state_dict())
    return folder


# --- what is found


def test_a_source_that_stamps_its_images_is_recognised_and_not_by_the_label(found):
    by_question = {(probe.of, probe.among): probe for probe in found.probes}
    assert list(by_question) == [
        ("source", "all images"),
        ("source", "images of covid19"),
        ("source", "images of non_covid19"),
        ("label", "all images"),
    ]
    for (of, among), probe in by_question.items():
        assert probe.auroc, among
        if of == "source":
            assert probe.auroc.low > 0.9, among
            assert probe.classes == ("a", "b")
        else:
            assert probe.auroc.low < 0.5 < probe.auroc.high
            assert probe.classes == LABELS
    assert by_question["source", "all images"].train_images == 40
    assert by_question["source", "images of covid19"].valid_images == 20


def test_identical_sources_are_not_recognised(tmp_path):
    found, _ = looked_at(write_table(tmp_path / "x", dict.fromkeys(LABELS, "ab")))
    for probe in found.probes:
        assert probe.auroc
        assert probe.auroc.low < 0.5 < probe.auroc.high, probe.among


def test_the_model_is_measured_within_each_source(found):
    assert [(w.source, w.images, w.reason) for w in found.within] == [
        ("a", 20, None),
        ("b", 20, None),
    ]
    assert all(w.auroc and w.auroc.low <= w.auroc.value <= w.auroc.high for w in found.within)
    assert found.within[0].auroc != found.within[1].auroc
    assert found.confounding == ()


def test_the_auroc_within_a_source_is_the_one_that_training_writes(stamped, found):
    from pipeline.metrics.classification import evaluate
    from pipeline.shortcuts.inference import read_out

    torch.manual_seed(0)
    valid = [sample for sample in read_dataset(stamped).valid if sample.source == "b"]
    probs = read_out(build_network("squeezenet1_1", 2), valid, make_spec()).probs
    truth = np.array([LABELS.index(sample.label) for sample in valid])
    expected = evaluate(truth, probs, 0, 0.4, [sample.file for sample in valid])["auroc"]
    assert found.within[1].auroc.value == pytest.approx(expected.value)
    assert found.within[1].auroc.low == pytest.approx(expected.low)


def test_where_each_label_has_its_own_source_they_cannot_be_distinguished(tmp_path):
    found, _ = looked_at(write_table(tmp_path / "x", {LABELS[0]: "a", LABELS[1]: "b"}, "a"))
    (sentence,) = found.confounding
    assert sentence.startswith("Source and label cannot be distinguished")
    assert [w.reason for w in found.within] == [
        "none of its validation images is non_covid19",
        "none of its validation images is covid19",
    ]
    within_label = [probe for probe in found.probes if probe.among.startswith("images of")]
    assert [probe.auroc for probe in within_label] == [None, None]
    assert all("fewer than two sources" in str(probe.reason) for probe in within_label)
    assert sentence in shortcuts_page(found, "evidence.png", Owner())


def test_a_label_that_comes_from_one_source_only_is_named(tmp_path):
    found, _ = looked_at(write_table(tmp_path / "x", {LABELS[0]: "a", LABELS[1]: "ab"}))
    assert found.confounding == (
        "All images of covid19 come from a: for covid19, source and label cannot be distinguished "
        "by these data.",
        "All images from b are non_covid19: to know the source is to know the label.",
    )
    assert [w.auroc is None for w in found.within] == [False, True]


@pytest.mark.parametrize(
    ("sources", "reason"),
    [
        (None, "the data name no source; a table with a column `source` does"),
        (dict.fromkeys(LABELS, "a"), "all images come from one source, a"),
    ],
)
def test_without_two_sources_it_is_not_run_and_says_why_but_the_evidence_is_there(
    tmp_path, sources, reason
):
    found, _ = looked_at(write_table(tmp_path / "x", sources, per_split=(12, 12)))
    assert found.no_sources == reason
    assert [(probe.of, probe.auroc is None) for probe in found.probes] == [("label", False)]
    assert found.border
    assert len(found.tiles) == 6
    page = shortcuts_page(found, "evidence.png", Owner())
    assert f"Sources: not run, since {reason}." in page
    assert f"| source | all images |  | not run: {reason} |" in page
    assert "![Validation images and where the evidence lies](evidence.png)" in page


def test_images_whose_source_is_not_named_are_not_probed_for_it(tmp_path):
    table = write_table(tmp_path / "x", dict.fromkeys(LABELS, "ab"), stamp="a")
    lines = table.read_text().splitlines()
    blank = [re.sub(r",b$", ",", line) if i < 12 else line for i, line in enumerate(lines)]
    removed = sum(a != b for a, b in zip(lines, blank, strict=True))
    table.write_text("\n".join(blank))
    found, _ = looked_at(table)
    assert removed > 3
    assert found.probes[0].train_images == 40 - removed
    assert found.probes[-1].train_images == 40
    assert found.counts["covid19"]["none"] == removed


def test_of_very_many_images_some_are_drawn_and_the_page_says_so(stamped, monkeypatch):
    monkeypatch.setattr("pipeline.shortcuts.analysis.MOST_IMAGES", 24)
    found, dataset = looked_at(stamped)
    assert found.images == {"train": (24, 40), "valid": (24, 40)}
    assert found.probes[-1].train_images == 24
    assert {tile.file for tile in found.tiles} <= {sample.file for sample in dataset.valid}
    page = shortcuts_page(found, "e.png", Owner())
    assert "Of 40 images in valid, 24 were drawn (seed 2)." in page


def test_the_page_speaks_in_the_owners_words_and_of_the_named_group(found):
    page = shortcuts_page(replace(found, group="scene"), "e.png", Owner("photos", "balls"))
    assert "A classifier of photos can score by" in page
    assert "on these data, besides balls." in page
    assert "Intervals are 95 %, by scene." in page
    assert "Intervals are 95 %, by image." in shortcuts_page(found, "e.png", Owner())


def test_the_verdicts_follow_the_intervals(found, tmp_path):
    said = "\n".join(verdicts(found))
    assert "Its features predict the source among all images: AUROC" in said
    assert "Within a alone the model may be guessing" in said
    alike, _ = looked_at(write_table(tmp_path / "x", dict.fromkeys(LABELS, "ab")))
    said = "\n".join(verdicts(alike))
    assert "Its features do not predict the source among all images" in said


# --- a head without a map


class WithoutMap(nn.Module):
    """Like fastai's own head: pooled before the labels are decided."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, stride=4)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(pixels))


def test_a_head_without_a_map_has_no_picture_and_says_why(stamped, model, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "load_network", lambda *_: WithoutMap())
    out = report_shortcuts(model, stamped, tmp_path / "out", threads=1)
    assert sorted(path.name for path in out.iterdir()) == FILES[1:]
    page = (out / "shortcuts.md").read_text()
    assert "Not run: the network's head keeps no map of evidence" in page
    assert "evidence.png" not in page
    document = json.loads((out / "shortcuts.json").read_text())
    assert (document["border"], document["tiles"]) == (None, [])
    assert document["probes"][0]["auroc"]["value"] > 0.5


# --- the command


def test_the_report_is_three_files_that_agree(model, stamped, tmp_path, monkeypatch, found):
    monkeypatch.chdir(tmp_path)
    out = report_shortcuts(model, stamped, threads=1)
    assert out == Path("build/shortcuts/tiny")
    assert sorted(path.name for path in out.iterdir()) == FILES
    text = (out / "shortcuts.json").read_text()
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert document["checkpoint_sha256"] == open_checkpoint(model).sha256
    assert document["same_images"] is True
    source = document["probes"][0]["auroc"]
    assert source["value"] == pytest.approx(found.probes[0].auroc.value)
    page = (out / "shortcuts.md").read_text()
    assert f"{source['value']:.3f} ({source['low']:.3f} to {source['high']:.3f})" in page
    for tile in document["tiles"]:
        assert f"| {tile['number']} | {tile['file']} |" in page
    assert page.count("| surest |") + page.count("| least wrong |") == 4  # label x source
    assert "keep it out of repositories" in page
    with Image.open(out / "evidence.png") as picture:
        assert picture.format == "PNG"


def test_the_same_seed_gives_the_same_report(model, stamped, tmp_path):
    reports = [report_shortcuts(model, stamped, tmp_path / name, threads=1) for name in "ab"]
    for name in FILES:
        assert (reports[0] / name).read_bytes() == (reports[1] / name).read_bytes(), name


def test_images_other_than_those_of_the_training_are_reported(model, tmp_path, capsys):
    table = write_table(tmp_path / "x", None, per_split=(12, 12))
    out = report_shortcuts(model, table, tmp_path / "out", threads=1)
    assert "not exactly the images" in capsys.readouterr().out
    assert "These are not the very images" in (out / "shortcuts.md").read_text()


def test_images_of_other_labels_are_refused(model, tmp_path):
    for label in "ab":
        write_images(tmp_path / "x", label, 8)
    with pytest.raises(
        BadInput, match="the images have the labels 'a', 'b', the checkpoint 'covid19'"
    ):
        report_shortcuts(model, tmp_path / "x", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_of_x_rays_do_not_go_next_to_the_release(model, stamped):
    with pytest.raises(BadInput, match="pictures of the images must not go there"):
        report_shortcuts(model, stamped, RELEASED / "shortcuts")
    assert not (RELEASED / "shortcuts").exists()


def test_a_report_is_replaced_if_asked_for_and_anything_else_never(model, stamped, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "shortcuts.md").write_text("old")
    with pytest.raises(BadInput, match="exists; give --overwrite"):
        report_shortcuts(model, stamped, out)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds something else"):
        report_shortcuts(model, stamped, out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["shortcuts.md", "thesis.txt"]
    (out / "thesis.txt").unlink()
    report_shortcuts(model, stamped, out, threads=1, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_a_missing_package_is_named_before_the_images_are_read(model, tmp_path, monkeypatch):
    def missing(*_: object, what: str) -> None:
        raise MissingDependency(f"{what} needs sklearn")

    monkeypatch.setattr("pipeline.shortcuts.analysis.require", missing)
    with pytest.raises(MissingDependency, match="looking for shortcuts needs sklearn"):
        report_shortcuts(model, tmp_path / "no such place")


def test_the_picture_is_ignored_by_git():
    ignored = (Path(__file__).parents[3] / ".gitignore").read_text().splitlines()
    assert "evidence.png" in ignored
    assert "build/" in ignored
