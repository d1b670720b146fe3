"""The README of an asset folder: the model's own resize, and very many labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from export.publish.assets import FOLDERS
from pipeline.resize.rule import Resize
from tests.export.made_assets import write_assets

LABELS = tuple(f"label_{i:03}" for i in range(600))

RESIZES = (
    Resize(64, 96, "crop"),
    Resize(64, 64, "pad", "reflection"),
    Resize(64, 64, margin=16),
)


@pytest.mark.parametrize("rule", RESIZES, ids=str)
def test_every_folder_says_the_models_own_resize(rule: Resize, tmp_path: Path) -> None:
    for folder in write_assets(tmp_path, resize=rule).values():
        text = (folder / "README.md").read_text(encoding="utf-8")
        assert f"resize it: {rule.sentence()}; bilinear, antialiased" in text


@pytest.mark.parametrize("platform", FOLDERS)
def test_of_very_many_labels_the_first_are_named_and_the_file_has_the_rest(
    platform: str, tmp_path: Path
) -> None:
    made = write_assets(tmp_path, labels=LABELS, positive=None, threshold=None)
    text = (made[platform] / "README.md").read_text(encoding="utf-8")
    named = "label_005, label_006, label_007 and 592 more, see there. Decide the most probable"
    assert named in text
    assert "label_008" not in text
    assert max(map(len, text.splitlines())) < 600
    assert (made[platform] / "labels.txt").read_text().split() == list(LABELS)


def test_a_few_labels_are_all_named(tmp_path: Path) -> None:
    made = write_assets(tmp_path, labels=LABELS[:8], positive=None, threshold=None)
    text = (made["web"] / "README.md").read_text(encoding="utf-8")
    assert f"`labels.txt`: {', '.join(LABELS[:8])}. Decide" in text


def test_the_owners_words_are_read_as_they_were_written(tmp_path: Path) -> None:
    use = "Für *Übungen* & <b>Spaß</b>, nicht für __Ärzte__ | [mehr](x) `hier`"
    labels = ("*Pilz* `a`", "<i>keiner</i>")
    made = write_assets(tmp_path, labels=labels, positive=labels[0], intended_use=use)
    for folder in made.values():
        text = (folder / "README.md").read_text(encoding="utf-8")
        blocks = MarkdownIt().enable("table").parse(text)
        lines = ["".join(each.content for each in block.children or ()) for block in blocks]
        assert use in lines
        assert any(f"{labels[0]}, {labels[1]}. Decide {labels[0]} where" in line for line in lines)
        assert sum(use in line for line in lines) >= 2  # beside the classifier's code too
