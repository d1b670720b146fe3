"""The Kotlin of the Android module through pytest; `make test-kotlin` runs the same by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.export.made_assets import write_assets
from tests.export.resized_release import RULES, shared_release
from tests.kotlin import toolchain
from tests.kotlin.__main__ import main
from tests.kotlin.module_tests import (
    PURE,
    KotlinRefused,
    compile_pure,
    run_module_tests,
    write_module,
)
from tests.kotlin.toolchain import MissingToolchain, Toolchain, find_toolchain

ROOT = Path(__file__).parents[2]


@pytest.mark.ci("compiles the Kotlin module")
def test_the_published_module_compiles_and_its_tests_pass(tmp_path: Path, tools: Toolchain) -> None:
    run = run_module_tests(ROOT / "android_assets", tmp_path, tools)
    assert run.passed, run.output
    assert run.tests >= 50
    assert run.vectors >= 60


@pytest.mark.ci("compiles half of the Kotlin module again")
def test_its_pure_half_compiles_without_an_android_class(tmp_path: Path, tools: Toolchain) -> None:
    write_module(ROOT / "android_assets", tmp_path)
    compile_pure(tmp_path, tmp_path, tools)
    (tmp_path / PURE[0] / "Slip.kt").write_text("val slip: android.graphics.Bitmap? = null\n")
    with pytest.raises(KotlinRefused, match="android"):
        compile_pure(tmp_path, tmp_path, tools)


@pytest.mark.ci("compiles a second Kotlin module")
def test_a_module_of_three_weird_labels_and_another_side_does_too(
    tmp_path: Path, tools: Toolchain
) -> None:
    labels = ('it\'s "x" $y', "*/ ${1}", "Lungenödem 🫁")
    changes = {"labels": labels, "positive": None, "threshold": None, "side": 96, "name": "Bone_2"}
    assets = write_assets(tmp_path / "made", **changes)["android"]
    shutil.rmtree(assets / "golden")  # none of this model
    run = run_module_tests(assets, tmp_path / "work", tools)
    assert run.passed, run.output


@pytest.mark.ci("exports a network and compiles its Kotlin module")
@pytest.mark.parametrize("name", RULES)
def test_the_module_of_a_model_with_its_own_resize_passes_its_golden_pack(
    name: str, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, tools: Toolchain
) -> None:
    assets = shared_release(name, tmp_path_factory) / "android_assets"
    assert (assets / "golden" / "golden.json").is_file()
    run = run_module_tests(assets, tmp_path, tools)
    assert run.passed, run.output


def test_without_a_compiler_it_is_said_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOTLINC", "no-such-compiler")
    monkeypatch.setattr("sys.argv", ["tests.kotlin", str(ROOT / "android_assets")])
    assert main() == 2
    said = capsys.readouterr().err
    assert "no-such-compiler" in said
    assert "apt-get install kotlin" in said


def test_a_missing_jar_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toolchain, "JAVA_FOLDER", tmp_path)
    with pytest.raises(MissingToolchain, match=r"junit4\.jar"):
        find_toolchain()


def test_a_folder_that_is_no_asset_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["tests.kotlin", str(tmp_path)])
    assert main() == 2
    assert "has no manifest.json" in capsys.readouterr().err
