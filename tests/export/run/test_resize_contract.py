"""A model's own resize, in everything that an export leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from export.cli.main import main
from export.golden.pack import read_pack
from export.golden.replay import replay
from export.manifest.manifest import read_manifest
from export.publish.assets import FOLDERS
from export.verify import main as verify
from pipeline.errors import BadInput
from pipeline.images import read_image
from pipeline.resize.rule import Resize
from tests.export.made_assets import edit_manifest
from tests.export.resized_release import RULES, shared_release

pytestmark = pytest.mark.ci("exports a network for every resize")


# The contract is the same at every size; apps replay the pack of the large one.
@pytest.fixture(params=[name for name in RULES if name != "large"])
def release(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Resize]:
    return shared_release(request.param, tmp_path_factory), RULES[request.param]


def test_every_folder_says_it_and_the_pack_holds_it(release: tuple[Path, Resize]) -> None:
    root, rule = release
    for name in FOLDERS.values():
        folder = root / name
        assert read_manifest(folder).model.rule == rule
        assert rule.sentence() in (folder / "README.md").read_text(encoding="utf-8")
        pack = read_pack(folder)
        assert pack.rule == rule
        for case in pack.cases:
            assert case.pixels.shape == (*rule.size, 3)
            np.testing.assert_array_equal(read_image(case.image, rule), case.pixels)


def test_the_checks_of_developers_and_users_pass(
    release: tuple[Path, Resize], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = release
    for name in FOLDERS.values():
        assert verify([str(root / name)]) == 0, capsys.readouterr().out
        found = replay(root / name)
        assert not found.failed, [r for r in (*found.pixels, *found.answers) if r.reason]
    assert verify([str(root / "web_assets"), "--golden"]) == 0, capsys.readouterr().out
    checked = ["check", "--assets", str(root), "--checkpoint", str(root.parent / "checkpoint")]
    assert main([*checked, "--images", "4"]) == 0, capsys.readouterr().out


def test_a_pack_of_another_resize_than_the_manifests_is_found(
    release: tuple[Path, Resize], tmp_path: Path
) -> None:
    root, _ = release
    folder = tmp_path / "web_assets"
    shutil.copytree(root / "web_assets", folder)
    path = folder / "golden" / "golden.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["resize"] = {"mode": "squish", "filter": "bilinear", "antialias": True, "margin": 4}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(BadInput, match=r"is of images resized by squish:4, .* manifest\.json by"):
        replay(folder)


def test_a_manifest_of_another_resize_than_the_checkpoints_is_found(
    release: tuple[Path, Resize], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, rule = release
    shutil.copytree(root, tmp_path / "assets")
    folder = tmp_path / "assets" / "web_assets"
    larger = {"width": rule.width + 8}
    edit_manifest(folder, lambda document: document["model"]["input"].update(larger))
    checked = ["check", "--assets", str(tmp_path / "assets"), "--images", "4"]
    assert main([*checked, "--checkpoint", str(root.parent / "checkpoint")]) == 1
    said = capsys.readouterr().out
    assert "the manifest says that images are resized by" in " ".join(said.split())


def test_a_manifest_whose_resize_contradicts_itself_is_refused(
    release: tuple[Path, Resize], tmp_path: Path
) -> None:
    root, _ = release
    shutil.copytree(root / "web_assets", tmp_path / "web_assets")
    wrong = {"mode": "pad", "filter": "bilinear", "antialias": True}
    edit_manifest(tmp_path / "web_assets", lambda d: d["model"]["input"].update(resize=wrong))
    with pytest.raises(BadInput, match=r"manifest\.json is damaged: resize pad with fill None"):
        read_manifest(tmp_path / "web_assets")
