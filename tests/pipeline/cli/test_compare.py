from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.cli import main as cli
from pipeline.cli.compare import seeds_of
from pipeline.config import PRESETS
from pipeline.errors import BadInput
from pipeline.model_spec import Owner
from pipeline.models.networks import NETWORKS, TOPOLOGIES
from pipeline.study.engine import ENGINES, Engine
from pipeline.study.protocols import PROTOCOLS

ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "fastai", "sklearn", "matplotlib", "joblib", "dask", "distributed", "numpy"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """In place of a comparison: what it was asked for."""
    kept: dict[str, Any] = {}

    def run_study(study: Any, data: Path | None, out: Path | None) -> SimpleNamespace:
        kept.update(study=study, data=data, out=out)
        return SimpleNamespace(failed=kept.get("failed", []))

    monkeypatch.setattr("pipeline.study.study.run_study", run_study)
    return kept


def test_help_imports_nothing_heavy_and_says_what_it_is_not():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "compare", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in names
    assert names & HEAVY == set()
    text = " ".join(done.stdout.split())
    assert "Research use only, unless the owner of a model says what it is for" in text
    for name in (*NETWORKS, *PROTOCOLS, *ENGINES):
        assert name in text


def test_all_five_under_both_protocols_with_the_papers_seed_are_the_default(asked):
    assert cli.main(["compare"]) == 0
    study = asked["study"]
    assert study.topologies == TOPOLOGIES
    assert study.protocols == PROTOCOLS
    assert study.seeds == (2,)
    assert study.target_accuracy == 1.0
    assert study.engine == Engine("joblib", 1)
    assert (asked["data"], asked["out"], study.again, study.exclude) == (None, None, False, ())


def test_the_options_reach_the_study(asked):
    line = (
        "compare --data x --out y --topologies resnet34,squeezenet1_1,resnet34 --protocol strict "
        "--seeds 5,7 --preset quick --finetune-epochs 4 --weights imagenet --target-accuracy 0.9 "
        "--workers 3 --exclude a/b --exclude c/d --positive a --name n --model-version 2 --again "
        "--intended-use play --looks-for balls --group-column scene"
    )
    assert cli.main(line.split()) == 0
    study = asked["study"]
    assert (asked["data"], asked["out"]) == (Path("x"), Path("y"))
    assert study.topologies == ("resnet34", "squeezenet1_1")
    assert study.protocols == ("strict",)
    assert study.seeds == (5, 7)
    assert study.config.frozen_epochs == PRESETS["quick"]["frozen_epochs"]
    assert (study.config.finetune_epochs, study.config.weights) == (4, "imagenet")
    assert (study.target_accuracy, study.engine) == (0.9, Engine("joblib", 3))
    assert (study.exclude, study.positive, study.name) == (("a/b", "c/d"), "a", "n")
    assert (study.model_version, study.again) == ("2", True)
    assert (study.said.intended_use, study.said.owner) == ("play", Owner(looks_for="balls"))
    assert study.group_column == "scene"


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1", (2,)),
        ("3", (2, 3, 4)),
        ("2,", (2,)),
        ("7,5, 7", (7, 5)),
        (" 4 , 9 ", (4, 9)),
    ],
)
def test_seeds_are_a_list_or_how_many(text, seeds):
    assert seeds_of(text, 2) == seeds


@pytest.mark.parametrize("text", ["", ",", "0", "two", "1-3", "2;3", "-1", "1.5"])
def test_what_are_no_seeds_is_refused(text):
    with pytest.raises(BadInput, match="--seeds"):
        seeds_of(text, 2)


def test_a_count_of_seeds_goes_on_from_the_first(asked):
    assert cli.main(["compare", "--seed", "10", "--seeds", "2"]) == 0
    assert asked["study"].seeds == (10, 11)


@pytest.mark.parametrize(("failed", "code"), [([], 0), (["b"], 1)])
def test_a_failed_trial_reaches_the_exit_code(asked, failed, code):
    asked["failed"] = failed
    assert cli.main(["compare"]) == code


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere does not exist"),
        (
            ["--topologies", "lenet"],
            "--topologies: there are squeezenet1_1, squeezenet1_1_fire6, resnet34",
        ),
        (["--topologies", ","], "none is asked for"),
        (["--seeds", "x"], "--seeds 'x': give a list such as 2,3, or how many as one number"),
        (["--workers", "0"], "--workers 0: at least one is needed"),
        (["--target-accuracy", "2"], "--target-accuracy 2.0 is not above 0 and at most 1"),
        (["--scheduler", "tcp://head:1"], "--scheduler needs --engine dask"),
        (["--side", "8"], "side 8 is not between 32 and 1024"),
        (["--frozen-epochs", "0", "--finetune-epochs", "0"], "no epochs to train"),
    ],
)
def test_what_a_user_can_fix_is_one_line_on_stderr_and_exit_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["compare", *arguments]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("error: ")
    assert message in streams.err
    assert streams.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["--protocol lenient", "--engine spark", "--workers x"])
def test_an_unknown_choice_is_exit_2_with_the_usage(line, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", *line.split()])
    assert ended.value.code == 2
    assert "usage: python -m pipeline compare" in capsys.readouterr().err
