from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkpoint import RELEASED, open_checkpoint
from pipeline.cli import main as cli
from pipeline.compress.recipes import PRECISIONS
from pipeline.config import PRESETS, TrainConfig
from pipeline.data.owners_words import OwnersWords
from pipeline.errors import MissingDependency
from tests.conftest import make_spec, write_network

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "torchvision", "fastai", "sklearn", "matplotlib", "scipy", "safetensors", "numpy"}


def imported_by(*arguments: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """The top-level modules that a command line imports, and how it ended."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}, done


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> dict[str, Any]:
    """In place of training: what it was asked for."""
    kept: dict[str, Any] = {}

    def train(config: TrainConfig, data: Path | None, out: Path | None, **options: Any) -> Path:
        kept.update(config=config, data=data, out=out, **options)
        return checkpoint

    monkeypatch.setattr("pipeline.training.train.train", train)
    return kept


@pytest.fixture
def compress_asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """In place of compression: what it was asked for."""
    kept: dict[str, Any] = {}

    def compress(
        checkpoint: Path, data: Path | None, precisions: list[str], **options: Any
    ) -> list[Path]:
        kept.update(checkpoint=checkpoint, data=data, precisions=precisions, **options)
        return []

    monkeypatch.setattr("pipeline.compress.compress.compress", compress)
    return kept


# --- help


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["compress", "--help"],
        ["shortcuts", "--help"],
        ["show", "--help"],
        ["predict", "--help"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    imported, done = imported_by(*arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m pipeline")
    assert "argparse" in imported  # or nothing was measured
    assert imported & HEAVY == set()


def test_show_needs_neither_torch_nor_fastai(checkpoint):
    imported, done = imported_by("show", str(checkpoint))
    assert done.returncode == 0
    assert "covid19" in done.stdout
    assert imported & {"torch", "torchvision", "fastai", "sklearn", "matplotlib", "scipy"} == set()


def test_help_says_what_a_model_may_be_used_for(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Research use only, unless the owner of a model says what it is for" in text
    assert "medical" not in text


def test_help_states_the_epochs_of_the_presets(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, differences in PRESETS.items():
        recipe = TrainConfig(**differences)
        assert f"{name}: {recipe.frozen_epochs} + {recipe.finetune_epochs}" in text


def test_help_states_what_each_precision_does_by_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["compress", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"some of {', '.join(PRECISIONS)} (default: all)" in text
    steps = {name: recipe.steps for name, recipe in PRECISIONS.items()}
    assert f"w4 {steps['w4']}, w3 {steps['w3']}, int8 {steps['int8']} if needed)" in text
    assert {name for name, recipe in PRECISIONS.items() if recipe.only_if_needed} == {"int8"}
    for field in ("lr", "batch_size", "seed", "threads", "calibration_images"):
        (value,) = {getattr(recipe, field) for recipe in PRECISIONS.values()}
        told = text.split(f"--{field.replace('_', '-')} N", 2)[-1]
        assert f"(default: {value})" in told.split(" --")[0], field


# --- errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "nowhere"], "nowhere does not exist"),
        (["train", "--side", "8"], "side 8 is not between 32 and 1024"),
        (["train", "--frozen-epochs", "0", "--finetune-epochs", "0"], "no epochs to train"),
        (["show", "nowhere"], "no checkpoint at nowhere"),
        (["shortcuts", "nowhere"], "no checkpoint at nowhere"),
        (["shortcuts"], "give the images it was trained on with --data"),
        (["compress", "nowhere"], "no checkpoint at nowhere"),
        (["compress", "c", "--precisions", "int8,w5"], "are int8, w4, w3; 'w5' is not one"),
        (["compress", "c", "--precisions", ","], "none is requested"),
        (["compress", "c", "--epochs", "-1"], "epochs -1 is not between 0 and 10000"),
    ],
)
def test_what_a_user_can_fix_is_one_line_on_stderr_and_exit_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("error: ")
    assert message in streams.err
    assert streams.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_exit_code_reaches_the_shell(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "show", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: no checkpoint at {tmp_path}")
    assert "Traceback" not in done.stderr


def test_a_missing_package_is_one_line_on_stderr_and_exit_2(monkeypatch, capsys):
    def train(*_: object, **__: object) -> None:
        raise MissingDependency("training needs fastai")

    monkeypatch.setattr("pipeline.training.train.train", train)
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err == "error: training needs fastai\n"


@pytest.mark.parametrize(
    "line",
    ["", "trian", "train --steps 3", "train --side x", "compress", "compress c --side 64"],
)
def test_an_unknown_request_is_exit_2_with_the_usage(line, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(line.split())
    assert ended.value.code == 2
    assert "usage: python -m pipeline" in capsys.readouterr().err


def test_ctrl_c_is_exit_130(monkeypatch, capsys):
    def train(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.training.train.train", train)
    assert cli.main(["train"]) == 130
    assert "nothing was changed" in capsys.readouterr().err


def test_ctrl_c_while_compressing_does_not_say_that_nothing_was_changed(monkeypatch, capsys):
    def compress(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.compress.compress.compress", compress)
    assert cli.main(["compress", "model"]) == 130
    assert "what was reported is kept, nothing else was changed" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback(monkeypatch):
    def train(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pipeline.training.train.train", train)
    with pytest.raises(ZeroDivisionError):
        cli.main(["train"])


# --- show


def test_show_prints_what_the_checkpoint_says(checkpoint, capsys):
    assert cli.main(["show", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    assert "tiny 1.2.3: squeezenet1_1, 64 x 64 px RGB" in out
    assert "labels: covid19, non_covid19; positive: covid19 from 0.4 on" in out
    assert "auroc                0.900  (95 % interval 0.800 to 0.950)" in out
    assert open_checkpoint(checkpoint).sha256 in out
    assert "never use it for diagnosis" in out


def test_show_says_what_train_and_valid_share(tmp_path, capsys):
    rule = "by folder; 16 of 24 validation images are in train too (same bytes)"
    folder = write_network(tmp_path / "c", make_spec(data={"name": "pets", "split": rule}))
    assert cli.main(["show", str(folder)]) == 0
    assert f"images: pets, split {rule}\n" in capsys.readouterr().out


def test_show_without_a_folder_is_about_the_released_model(checkpoint, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.checkpoint.RELEASED", checkpoint)
    assert cli.main(["show"]) == 0
    assert "tiny 1.2.3" in capsys.readouterr().out


def test_show_prints_a_figure_without_an_interval(checkpoint, tmp_path, capsys):
    folder = shutil.copytree(checkpoint, tmp_path / "c")
    path = folder / "checkpoint.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "metrics": {"auroc": 0.875}}))
    assert cli.main(["show", str(folder)]) == 0
    assert "0.875" in capsys.readouterr().out


def test_show_has_no_positive_label_and_no_threshold_for_five_classes(tmp_path, capsys):
    labels = ("blå", "fünf weiß", "grün", "été", "赤")
    spec = make_spec(labels=labels, positive=None, threshold=None)
    assert cli.main(["show", str(write_network(tmp_path / "five", spec))]) == 0
    assert "labels: blå, fünf weiß, grün, été, 赤; positive: none\n" in capsys.readouterr().out


# --- train


@pytest.mark.usefixtures("asked")
def test_train_prints_the_checkpoint_and_the_next_command(checkpoint, capsys):
    assert cli.main(["train"]) == 0
    out = capsys.readouterr().out
    assert f"checkpoint: {checkpoint}" in out
    assert "labels: covid19, non_covid19" in out
    assert f"next: python -m export all --checkpoint {checkpoint}" in out


def test_no_option_at_all_is_the_default_recipe(asked):
    cli.main(["train"])
    assert asked == {
        "config": TrainConfig(),
        "data": None,
        "out": None,
        "name": None,
        "model_version": "0.0.0",
        "positive": None,
        "overwrite": False,
        "shortcuts": True,
        "words": OwnersWords(),
        "group_column": None,
    }


def test_every_option_of_the_recipe_arrives(asked):
    cli.main(
        shlex.split(
            "train --weights none --side 64 --batch-size 4 --seed 0 --threads 1 --frozen-epochs 0 "
            "--epochs 5 --frozen-lr 0.5 --finetune-lr 0.25 --architecture resnet34 "
            "--body-lr-factor 0.5 --averaging 0.9 --mixup 0.4 --label-smoothing 0.1 --crop 0.5 "
            "--least-recall 0.8 --arithmetic fp32 --resize crop"
        )
    )
    assert asked["config"] == TrainConfig(
        weights="none",
        side=64,
        resize="crop",
        batch_size=4,
        seed=0,
        threads=1,
        frozen_epochs=0,
        finetune_epochs=5,
        frozen_lr=0.5,
        finetune_lr=0.25,
        architecture="resnet34",
        body_lr_factor=0.5,
        averaging=0.9,
        mixup=0.4,
        label_smoothing=0.1,
        crop=0.5,
        least_recall=0.8,
        arithmetic="fp32",
    )


def test_every_other_option_arrives(asked):
    cli.main(
        shlex.split(
            "train --data xrays --out there --name lung --model-version 2.0.0 --positive flu "
            "--overwrite --no-shortcuts --intended-use 'For play.' --images-are photos "
            "--looks-for balls --example a.png --example 'b c.jpg' --group-column scene"
        )
    )
    assert asked == {
        "config": TrainConfig(),
        "data": Path("xrays"),
        "out": Path("there"),
        "name": "lung",
        "model_version": "2.0.0",
        "positive": "flu",
        "overwrite": True,
        "shortcuts": False,
        "words": OwnersWords("For play.", "photos", "balls", (Path("a.png"), Path("b c.jpg"))),
        "group_column": "scene",
    }


def test_a_preset_is_used_and_options_given_with_it_win(asked):
    cli.main(["train", "--preset", "quick"])
    assert asked["config"] == TrainConfig(**PRESETS["quick"])
    cli.main(["train", "--preset", "quick", "--finetune-epochs", "7"])
    assert asked["config"] == TrainConfig(**{**PRESETS["quick"], "finetune_epochs": 7})


def test_a_whole_training_from_the_command_line(image_folder, tmp_path, capsys):
    command = ["train", "--data", str(image_folder), "--out", str(tmp_path / "out")]
    recipe = shlex.split(
        "--weights none --side 64 --threads 1 --frozen-epochs 1 --finetune-epochs 1"
    )
    assert cli.main([*command, *recipe, "--name", "lung", "--positive", "covid19"]) == 0
    out = capsys.readouterr().out
    assert "train: 12 covid19, 12 non_covid19" in out
    assert "lung 0.0.0: squeezenet1_1, 64 x 64 px RGB" in out
    assert "positive: covid19 from" in out
    assert cli.main([*command, *recipe]) == 2
    assert "exists; give --overwrite or another --out" in capsys.readouterr().err


# --- compress


def test_compress_without_options_is_every_precision_by_its_own_recipe(compress_asked, capsys):
    assert cli.main(["compress", "model"]) == 0
    assert compress_asked == {
        "checkpoint": Path("model"),
        "data": None,
        "precisions": list(PRECISIONS),
        "changes": {},
        "overwrite": False,
    }
    assert "next: python -m export all --checkpoint model" in capsys.readouterr().out


def test_every_option_of_compress_arrives(compress_asked):
    cli.main(
        shlex.split(
            "compress model --data xrays --precisions 'w3, int8' --epochs 0 --lr 0.5 --batch-size 4"
            " --seed 0 --threads 1 --calibration-images 7 --overwrite"
        )
    )
    assert compress_asked == {
        "checkpoint": Path("model"),
        "data": Path("xrays"),
        "precisions": ["w3", "int8"],
        "changes": {
            "epochs": 0,
            "lr": 0.5,
            "batch_size": 4,
            "seed": 0,
            "threads": 1,
            "calibration_images": 7,
        },
        "overwrite": True,
    }


@pytest.mark.slow("compresses a network")
def test_a_whole_compression_from_the_command_line(checkpoint, image_folder, tmp_path, capsys):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    command = ["compress", str(folder), "--data", str(image_folder), "--precisions", "int8"]
    command += ["--threads", "1", "--calibration-images", "8"]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "note: these are not exactly the images" in out
    assert f"{folder / 'int8'}: " in out
    assert "of 12 labels flip, AUROC" in out
    assert f"next: python -m export all --checkpoint {folder}" in out

    assert cli.main(["show", str(folder / "int8")]) == 0
    out = capsys.readouterr().out
    assert f"compressed to int8 from {open_checkpoint(checkpoint).sha256}" in out
    assert open_checkpoint(folder / "int8").sha256 in out

    assert cli.main(command) == 2
    assert "int8 exists; give --overwrite to compress again" in capsys.readouterr().err
    assert cli.main(["compress", str(folder / "int8")]) == 2
    assert "is compressed already" in capsys.readouterr().err


def test_show_says_nothing_of_compression_where_there_is_none(checkpoint, capsys):
    cli.main(["show", str(checkpoint)])
    assert "compressed" not in capsys.readouterr().out


# --- shortcuts


@pytest.fixture
def shortcuts_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """In place of looking for shortcuts: what it was asked for."""
    kept: dict[str, Any] = {}

    def report(checkpoint: Path, data: Path | None, out: Path | None, **options: Any) -> Path:
        kept.update(checkpoint=checkpoint, data=data, out=out, **options)
        (tmp_path / "shortcuts.md").write_text("# Shortcuts: tiny")
        return tmp_path

    monkeypatch.setattr("pipeline.shortcuts.analysis.report_shortcuts", report)
    return kept


def test_shortcuts_without_options_are_those_of_the_release(shortcuts_asked, tmp_path, capsys):
    assert cli.main(["shortcuts"]) == 0
    assert shortcuts_asked == {
        "checkpoint": RELEASED,
        "data": None,
        "out": None,
        "seed": 2,
        "threads": 0,
        "overwrite": False,
    }
    out = capsys.readouterr().out
    assert "# Shortcuts: tiny" in out
    assert f"written to {tmp_path}" in out


def test_every_option_of_shortcuts_arrives(shortcuts_asked):
    command = "shortcuts model --data xrays --out there --seed 7 --threads 1 --overwrite"
    assert cli.main(shlex.split(command)) == 0
    assert shortcuts_asked == {
        "checkpoint": Path("model"),
        "data": Path("xrays"),
        "out": Path("there"),
        "seed": 7,
        "threads": 1,
        "overwrite": True,
    }
